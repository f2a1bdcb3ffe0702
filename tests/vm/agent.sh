#!/bin/bash
# Runs in the guest as a service. The host says on the port `ctl` one line for each command:
#     go EPOCH ENTROPY            once, first: sets the clock, seeds the random pool, unpacks the payload
#     run SECONDS BASE64          a script for bash
# and reads for each `done STATUS BYTES`, followed by so many bytes of output.
port() { for p in /sys/class/virtio-ports/*; do [[ $(<"$p/name") == "$1" ]] && echo "/dev/${p##*/}"; done; }
disk() { for b in /sys/block/vd*; do [[ $(<"$b/serial") == "$1" ]] && echo "/dev/${b##*/}"; done; }

exec 3<>"$(port ctl)"
echo ready >&3
while read -r verb first second <&3; do
    case $verb in
        go)
            date -s "@$first" >/dev/null
            echo "$second" >/dev/urandom
            tar xf "$(disk payload)" -C / >/tmp/output 2>&1
            status=$?
            ;;
        run)
            base64 -d <<<"$second" >/tmp/script
            env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
                timeout --kill-after=5 "$first" bash /tmp/script </dev/null >/tmp/output 2>&1 3>&-
            status=$?
            ;;
    esac
    printf 'done %d %d\n' "$status" "$(stat -c %s /tmp/output)" >&3
    cat /tmp/output >&3
done
