#!/usr/bin/env bash
# Makes the image of a Debian with systemd for the virtual machine and prints its folder: `kernel`, `initrd`, `root.ext4`.
#
#   tests/vm/image.sh bookworm|trixie
#
# It is kept in ${XDG_CACHE_HOME:-~/.cache}/alyx-vm under a name made of all that goes into it, so it is made once;
# remove the folder to get newer packages. Needs root for the ownership of files; mounts nothing here.
set -euo pipefail
cd "$(dirname "$0")"

suite=$1
packages=(systemd systemd-sysv dbus udev kmod iproute2 procps libcap2-bin ca-certificates curl e2fsprogs
    jq strace sqlite3 python3 nodejs)
# Services that a machine of one minute has no use for; emulated, each costs a part of a second.
masked=(apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service
    fstrim.timer man-db.timer getty.target systemd-timesyncd.service systemd-hwdb-update.service
    systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-random-seed.service
    systemd-machine-id-commit.service ldconfig.service dev-hugepages.mount dev-mqueue.mount
    sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount
    proc-sys-fs-binfmt_misc.automount systemd-udev-trigger.service systemd-udev-settle.service
    systemd-remount-fs.service kmod-static-nodes.service systemd-journal-catalog-update.service
    systemd-journal-flush.service systemd-firstboot.service systemd-pcrphase.service
    systemd-pcrphase-sysinit.service systemd-boot-system-token.service systemd-pstore.service
    systemd-tpm2-setup.service systemd-tpm2-setup-early.service systemd-logind.service)

digest=$( (printf '%s\n' "$suite" "${packages[@]}" && cat image.sh agent.sh initrd.sh) | sha256sum | cut -c1-16)
image=${XDG_CACHE_HOME:-$HOME/.cache}/alyx-vm/$suite-$digest
if [[ -f $image/done ]]; then
    echo "$image"
    exit
fi
for tool in mmdebstrap mke2fs cpio modprobe depmod dpkg-deb busybox; do
    command -v "$tool" >/dev/null || { echo "error: $tool is not on PATH" >&2; exit 1; }
done
printf 'making the image of %s in %s\n' "$suite" "$image" >&2
rm -rf "$image"
mkdir -p "$image/initrd.d"/{bin,proc,sys,dev,new,modules}
root=$image/root

# The kernel is unpacked and not installed: nothing in it has to be configured or to make an initrd.
kernel='cd /var/tmp && apt-get -q download "$(apt-cache depends linux-image-cloud-amd64 |
    sed -n "s/.*Depends: \(linux-image-[^ ]*\).*/\1/p" | head -n 1)"'
mmdebstrap --variant=minbase --format=directory --include="$(IFS=,; echo "${packages[*]}")" \
    --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --customize-hook="chroot \"\$1\" sh -c '$kernel'" \
    "$suite" "$root" >"$image/log" 2>&1 || { tail -n 20 "$image/log" >&2; exit 1; }
dpkg-deb -x "$root"/var/tmp/linux-image-*.deb "$image/kernel.d"
rm "$root"/var/tmp/linux-image-*.deb
modules=$(find "$image/kernel.d" -path '*/lib/modules/*' -prune -print)
version=${modules##*/}
mkdir -p "$root/usr/lib/modules"
mv "$modules" "$root/usr/lib/modules/"
depmod -b "$root" "$version"
mv "$image/kernel.d/boot/vmlinuz-$version" "$image/kernel"

rm -rf "$root/dev" && mkdir "$root/dev"
echo alyx-vm >"$root/etc/hostname"
printf '127.0.0.1 localhost alyx-vm\n::1 localhost\n' >"$root/etc/hosts"
: >"$root/etc/fstab"
echo "${digest}${digest}" >"$root/etc/machine-id"
install -D -m 755 agent.sh "$root/usr/local/sbin/vm-agent"
cat >"$root/etc/systemd/system/vm-agent.service" <<'UNIT'
[Unit]
Description=Commands of the test host
After=basic.target
[Service]
ExecStart=/usr/local/sbin/vm-agent
KillMode=process
UNIT
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -s ../vm-agent.service "$root/etc/systemd/system/multi-user.target.wants/"
for unit in "${masked[@]}"; do ln -sf /dev/null "$root/etc/systemd/system/$unit"; done

cp "$(command -v busybox)" "$image/initrd.d/bin/busybox"
install -m 755 initrd.sh "$image/initrd.d/init"
number=10
for module in virtio_pci virtio_blk virtio_console virtio_rng ext4; do
    while read -r _ file; do
        name=$(basename "${file%.ko*}")
        compgen -G "$image/initrd.d/modules/*-$name.ko" >/dev/null && continue
        case $file in
            *.xz) xz -dc "$file" ;;
            *.zst) zstd -qdc "$file" ;;
            *) cat "$file" ;;
        esac >"$image/initrd.d/modules/$((number++))-$name.ko"
    done < <(modprobe -d "$root" -S "$version" --show-depends "$module" | grep ^insmod)
done
(cd "$image/initrd.d" && find . | LC_ALL=C sort | cpio -o -H newc --quiet >../initrd)
size=$(($(du -sm "$root" | cut -f1) + 2048))
mke2fs -q -t ext4 -d "$root" -m 0 -E lazy_itable_init=1,lazy_journal_init=1 "$image/root.ext4" "${size}M"
rm -rf "$root" "$image/initrd.d" "$image/kernel.d"
touch "$image/done"
echo "$image"
