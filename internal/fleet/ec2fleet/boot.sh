#!/bin/bash
# Makes this machine a worker of the Ocelli fleet {{.Fleet}}. Made by ocelli; runs once, as root.
set -Eeuo pipefail
trap 'echo "ocelli: the set-up failed in line $LINENO: this machine ends itself"; systemctl poweroff' ERR

# The time of death, whoever is alive then to end this machine. A shutdown lets the worker finish what it holds.
systemd-run --quiet --on-active={{.Seconds}} systemctl poweroff

imds=http://169.254.169.254/latest
fetch() { curl --fail --silent --show-error --retry 8 --retry-all-errors --max-time 300 "$@"; }
token=$(fetch -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 600' "$imds/api/token")
about() { fetch -H "X-aws-ec2-metadata-token: $token" "$imds/meta-data/$1"; }

# All machines of one launch have this script; the place among them says which worker this one is.
names=({{.Names}})
name=${names[$(about ami-launch-index)]}

mkdir -p /opt/ocelli
{{- if .SignFor}}
role=$(about iam/security-credentials/)
keys=$(about "iam/security-credentials/$role")
key() { sed -n "s/.*\"$1\"[ ]*:[ ]*\"\([^\"]*\)\".*/\1/p" <<<"$keys"; }
# By stdin, since arguments can be seen by everybody on the machine. The checksum is that of a request without a body.
fetch --config - --output /opt/ocelli/ocelli --url {{quote .Binary}} <<END
aws-sigv4 = "aws:amz:{{.SignFor}}:s3"
user = "$(key AccessKeyId):$(key SecretAccessKey)"
header = "x-amz-security-token: $(key Token)"
header = "x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
END
{{- else}}
fetch --location --output /opt/ocelli/ocelli --url {{quote .Binary}}
{{- end}}
echo '{{.SHA256}}  /opt/ocelli/ocelli' | sha256sum --check --quiet
chmod 0755 /opt/ocelli /opt/ocelli/ocelli

cat >/opt/ocelli/start <<'END'
#!/bin/bash
{{- range .Env}}
export {{quote .}}
{{- end}}
exec /opt/ocelli/ocelli{{range .Args}} {{quote .}}{{end}}
END
chmod 0755 /opt/ocelli/start

# A worker that crashes is started again, and the machine goes with one that has ended or crashes again and again.
cat >/run/systemd/system/ocelli-worker.service <<END
[Unit]
Description=Ocelli worker $name
After=network-online.target
SuccessAction=poweroff
FailureAction=poweroff
StartLimitIntervalSec=600
StartLimitBurst=5

[Service]
Environment=OCELLI_WORKER_NAME=$name
EnvironmentFile=-/etc/ocelli/worker.env
ExecStart=/opt/ocelli/start
Restart=on-failure
RestartSec=1
TimeoutStopSec=100
DynamicUser=yes
CacheDirectory=ocelli
Environment=XDG_CACHE_HOME=/var/cache/ocelli
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictSUIDSGID=yes
LockPersonality=yes
CapabilityBoundingSet=
END
systemctl daemon-reload
systemctl start --no-block ocelli-worker
