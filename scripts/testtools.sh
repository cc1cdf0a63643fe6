#!/usr/bin/env bash
# Installs what `make test` needs beyond the build, into .deps/test/, each at one pinned version and nothing twice:
#   bin/            servers and programs: versitygw, an S3 server; pebble, an ACME authority
#   node_modules/   fauxqs, an SQS server with S3 events; axe-core, which checks pages for accessibility
#   venv-aws/       Python: moto (EC2, IAM, CloudFormation), cfn-lint, the AWS CLI, boto3
#   venv-protocols/ Python: schemathesis (an API against its OpenAPI document), a client of the Open Inference Protocol
# and by apt-get nginx, Chromium, and what makes disks and networks to break. None of it is linked into the product or shipped with it.
#
# To add a tool: one line at the end of this file. A step runs when its name and versions have not run here before.
set -euo pipefail
cd "$(dirname "$0")/.."

die() { echo "testtools: $*" >&2; exit 1; }

# once NAME VERSIONS COMMAND… runs the command unless it has succeeded here for these versions.
once() {
  local done_file=".deps/test/.done/$1" versions=$2
  shift 2
  [ ! -f "$done_file" ] || [ "$(<"$done_file")" != "$versions" ] || return 0
  "$@" || exit 1
  echo "$versions" > "$done_file"
}

# debian COMMAND PACKAGE installs a Debian package unless the machine has the command.
debian() {
  command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || {
    command -v apt-get >/dev/null || die "please install $1 and run this again."
    local sudo=
    [ "$(id -u)" -eq 0 ] || { command -v sudo >/dev/null && sudo=sudo; } || die "please run as root: apt-get install $2"
    echo "testtools: installing $2"
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -q --no-install-recommends "$2" >/dev/null 2>&1 || {
      $sudo apt-get update -q >/dev/null || die "apt-get update failed: is the machine on the network?"
      DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -q --no-install-recommends "$2" >/dev/null ||
        die "apt-get could not install $2: the lines above say why."
    }
  }
}

# go_tool PACKAGE@VERSION builds a program into bin/.
go_tool() {
  echo "testtools: building $1 (minutes, once)"
  GOFLAGS='' GOBIN="$PWD/.deps/test/bin" go install "$1" 2>/dev/null || GOFLAGS='' GOBIN="$PWD/.deps/test/bin" go install "$1" ||
    die "go could not install $1: the lines above say why."
}

# npm_tool PACKAGE@VERSION… installs into node_modules/. All that is wanted goes into one call: npm removes the rest.
npm_tool() {
  command -v npm >/dev/null || die "npm is missing: install Node.js 20 or newer with npm."
  echo "testtools: installing $*"
  npm install --silent --no-audit --no-fund --no-save --no-package-lock --prefix .deps/test "$@" >/dev/null ||
    die "npm could not install $*: is the machine on the network?"
}

# venv NAME REQUIREMENT… installs into a Python environment of its own, since the tools pin what others pin otherwise.
venv() {
  local pip=.deps/test/$1/bin/pip
  command -v python3 >/dev/null || die "Python is missing: install python3 (3.10 or newer) with venv."
  [ -x "$pip" ] || python3 -m venv ".deps/test/$1" || die "python3 has no venv: install python3-venv."
  shift
  echo "testtools: installing $*"
  "$pip" install --quiet --disable-pip-version-check "$@" || die "pip could not install $*: the lines above say why."
}

# python NAME REQUIREMENT… is venv, once.
python() { once "$1" "${*:2}" venv "$@"; }

mkdir -p .deps/test/.done .deps/test/bin
exec 9>.deps/test/.lock
flock 9 # another checkout may share the folder

debian nginx nginx
debian chromium chromium
debian ip iproute2
debian mkfs.ext4 e2fsprogs
once versitygw v1.8.0 go_tool github.com/versity/versitygw/cmd/versitygw@v1.8.0
once pebble v2.10.1 go_tool github.com/letsencrypt/pebble/v2/cmd/pebble@v2.10.1
once npm 'fauxqs 1.9.2, axe-core 4.14.1' npm_tool fauxqs@1.9.2 axe-core@4.14.1
python venv-aws 'moto[server]==5.2.1' cfn-lint==1.58.0 awscli==1.46.3 boto3==1.44.5
python venv-protocols schemathesis==4.32.5 'tritonclient[http]==2.73.0'
