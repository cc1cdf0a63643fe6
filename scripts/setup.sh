#!/usr/bin/env bash
# Installs what the build needs and is missing, and nothing twice:
#   - a C compiler, libjpeg-turbo's development files (Debian packages, by apt-get);
#   - ONNX Runtime's shared library at one pinned version, from the npm package onnxruntime-node, checked
#     against the SHA-256 below, into .deps/onnxruntime/.
# OCELLI_ONNXRUNTIME=/path/to/libonnxruntime.so names a library that is already on the machine.
set -euo pipefail
cd "$(dirname "$0")/.."

ort_version=1.27.0
case "$(uname -s)-$(uname -m)" in
  Linux-x86_64)  ort_dir=x64   ort_sha256=d8aff4aa8abee8fb2abb2f2f2459ffc94461e781e41b9f7c072829dd0d470221 ;;
  Linux-aarch64) ort_dir=arm64 ort_sha256=c36bc200e7e6c093b8abb0b34590fbdd8c52fd3fb5e33795b9523ffdde2fce0f ;;
  *) echo "setup: $(uname -s) on $(uname -m) is not supported: Ocelli builds on Linux, x86-64 or arm64." >&2; exit 1 ;;
esac
ort_lib=.deps/onnxruntime/libonnxruntime.so.1

die() { echo "setup: $*" >&2; exit 1; }

# install PACKAGE… by apt-get, with sudo where that is needed and there.
install() {
  command -v apt-get >/dev/null || die "please install these Debian packages, or what your system calls them, and run this again: $*"
  local sudo=
  [ "$(id -u)" -eq 0 ] || { command -v sudo >/dev/null && sudo=sudo; } || die "please run as root: apt-get install $*"
  echo "setup: installing $*"
  # The package lists of a fresh machine are empty, so a first failure is answered by fetching them.
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -q --no-install-recommends "$@" >/dev/null 2>&1 || {
    $sudo apt-get update -q >/dev/null || die "apt-get update failed: is the machine on the network?"
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -q --no-install-recommends "$@" >/dev/null ||
      die "apt-get could not install $*: the lines above say why."
  }
}

command -v go >/dev/null || die "Go is missing: install Go $(sed -n 's/^go //p' go.mod) or newer and run this again."

missing=()
command -v gcc >/dev/null || missing+=(gcc libc6-dev)
[ -f /usr/include/jpeglib.h ] || missing+=(libjpeg62-turbo-dev)
[ ${#missing[@]} -eq 0 ] || install "${missing[@]}"

if [ -n "${OCELLI_ONNXRUNTIME:-}" ]; then
  [ -f "$OCELLI_ONNXRUNTIME" ] || die "OCELLI_ONNXRUNTIME names $OCELLI_ONNXRUNTIME, which is not a file."
elif [ ! -f "$ort_lib" ]; then
  command -v npm >/dev/null || die "npm is missing: install Node.js with npm, or set OCELLI_ONNXRUNTIME to a libonnxruntime.so of version $ort_version."
  echo "setup: fetching ONNX Runtime $ort_version (100 MB, once)"
  mkdir -p .deps
  tmp=$(mktemp -d .deps/tmp.XXXXXX)
  trap 'rm -rf "$tmp"' EXIT
  (cd "$tmp" && npm pack --silent "onnxruntime-node@$ort_version" >/dev/null) ||
    die "npm could not fetch onnxruntime-node $ort_version: is the machine on the network?"
  tar -xzf "$tmp"/onnxruntime-node-*.tgz -C "$tmp" "package/bin/napi-v6/linux/$ort_dir/libonnxruntime.so.1"
  echo "$ort_sha256  $tmp/package/bin/napi-v6/linux/$ort_dir/libonnxruntime.so.1" | sha256sum --check --quiet ||
    die "the ONNX Runtime library that npm delivered is not the pinned one (wrong SHA-256); nothing was installed."
  mkdir -p .deps/onnxruntime
  mv "$tmp/package/bin/napi-v6/linux/$ort_dir/libonnxruntime.so.1" "$ort_lib"
fi
