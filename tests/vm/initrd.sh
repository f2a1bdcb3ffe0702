#!/bin/busybox sh
# The first process of the guest: loads what the disk needs and hands over to systemd.
b=/bin/busybox
$b mount -t devtmpfs dev /dev
for module in /modules/*; do $b insmod "$module"; done
tries=0
until [ -b /dev/vda ]; do
    tries=$((tries + 1))
    [ $tries -gt 500 ] && $b poweroff -f
    $b usleep 10000
done
$b mount -t ext4 -o rw,noatime /dev/vda /new && $b mount --move /dev /new/dev
exec $b switch_root /new /lib/systemd/systemd
