#!/bin/bash
# Runs in the guest: the hostile probes as a project in strict mode, supervisor and daemon as units of their own.
set -eu
bin=/usr/lib/alyx/bin
project=/srv/probes
export ALYX_RUNTIMES_DIR=/usr/lib/alyx/runtimes
# No compiler is here. Emulation needs longer for everything.
rm -r $project/functions/probe-go
sed -i -e '/^  probe-go:/,$d' -e 's/timeout: .*/timeout: 120s/' $project/schema.yaml

# `alyx dev` knows the paths of this host; its configuration of the supervisor is made strict.
useradd --system --user-group alyx
useradd --system --user-group alyx-sandbox
systemd-run --quiet --unit=dev --setenv=ALYX_RUNTIMES_DIR=$ALYX_RUNTIMES_DIR \
    $bin/alyx dev $project --data /srv/dev --no-watch --listen 127.0.0.1:8099
for _ in $(seq 600); do [[ -f /srv/dev/run/dev.json ]] && break; sleep 0.2; done
install -d -o alyx -g alyx -m 755 /srv/data /srv/data/bundles
install -d -o alyx-sandbox -g alyx-sandbox -m 700 /run/alyx-work
jq --argjson uid "$(id -u alyx)" '.isolation = "strict" | .daemon_uid = $uid | .socket = "/run/alyx/control.sock"
    | .bundles_dir = "/srv/data/bundles" | .work_dir = "/run/alyx-work"' /srv/dev/run/supervisor.json >/srv/supervisor.json
systemctl stop dev

# Once as root, which it gives up by itself, and once as in the packages: a user with two capabilities.
install -d -m 755 /run/alyx-root && install -d -m 700 /run/alyx-root/work
jq '.socket = "/run/alyx-root/control.sock" | .work_dir = "/run/alyx-root/work"' /srv/supervisor.json >/srv/as-root.json
install -d -o alyx-sandbox -g alyx-sandbox -m 700 /run/alyx-other /run/alyx-other/work
jq '.socket = "/run/alyx-other/control.sock" | .work_dir = "/run/alyx-other/work"' /srv/supervisor.json >/srv/other.json
systemd-run --quiet --unit=alyx-supervisor --socket-property=ListenSequentialPacket=/run/alyx/control.sock \
    --socket-property=SocketUser=alyx --socket-property=SocketMode=0600 --property='Delegate=cpu memory pids' --property=Type=notify \
    --uid=alyx-sandbox --gid=alyx-sandbox --property='AmbientCapabilities=CAP_SETUID CAP_SETGID' \
    --property='CapabilityBoundingSet=CAP_SETUID CAP_SETGID' --property='SecureBits=noroot noroot-locked no-setuid-fixup' \
    $bin/alyx-supervisor --config /srv/supervisor.json
systemd-run --quiet --unit=alyxd --property=Type=notify --uid=alyx --gid=alyx \
    --setenv=ALYX_RUNTIMES_DIR=$ALYX_RUNTIMES_DIR \
    $bin/alyxd serve --project $project --data /srv/data --listen 127.0.0.1:8090 \
    --admin-socket /srv/data/admin.sock --supervisor-socket /run/alyx/control.sock
