#!/usr/bin/env bash
# Installs what building and running Alyx needs and this machine lacks: a C compiler and the three
# runtimes, through the system's package manager. Does nothing, and needs nothing, if all is there.
#
#   packaging/prerequisites.sh          to build and run
#   packaging/prerequisites.sh tests    and what the suites need beside that
#   packaging/prerequisites.sh package  and what building packages needs
#   packaging/prerequisites.sh vm       and what the virtual machine needs
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }

# True if the program named first is there and at least at the version given.
at_least() {
    local program=$1 wanted=$2 found
    command -v "$program" >/dev/null || return 1
    case $program in
        node) found=$(node --version 2>/dev/null | tr -d v) ;;
        python3) found=$(python3 -I -S -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) ;;
        go) found=$(cd / && go env GOVERSION 2>/dev/null | sed 's/^go//') ;;
        *) return 0 ;;
    esac
    [[ -n $found && $(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1) == "$wanted" ]]
}

if ! command -v cargo >/dev/null; then
    say 'error: cargo is not on PATH'
    say ''
    say 'hint: install Rust as https://rustup.rs says, then run this again'
    exit 1
fi

missing=()
at_least cc 0 || missing+=(gcc)
at_least node 18 || missing+=(node)
at_least python3 3.9 || missing+=(python)
at_least go 1.19 || missing+=(go)
if [[ ${1:-} == tests ]]; then
    at_least npm 0 || missing+=(npm)
    at_least c++ 0 || missing+=(cxx)
    at_least openssl 0 || missing+=(openssl)
    at_least curl 0 || missing+=(curl)
    at_least testssl 0 || missing+=(testssl)
    at_least slowhttptest 0 || missing+=(slowhttptest)
    at_least chromium 0 || at_least chromium-browser 0 || missing+=(chromium)
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(venv)
    # Faults and power cuts of tests/crash; mounting and tracing need root as well.
    at_least strace 0 || missing+=(strace)
    at_least qemu-storage-daemon 0 || missing+=(disks)
    { at_least mkfs.ext4 0 && at_least debugfs 0; } || missing+=(ext4)
    at_least findmnt 0 || missing+=(mount)
    # Networks of a test's own.
    at_least ip 0 || missing+=(ip)
    # Checks of the units, and sockets that are passed; systemd need not run.
    { at_least systemd-analyze 0 && at_least systemd-socket-activate 0; } || missing+=(systemd)
fi
if [[ ${1:-} == tests || ${1:-} == package || ${1:-} == vm ]]; then
    { at_least dh 0 && at_least dpkg-buildpackage 0; } || missing+=(deb)
    at_least rpmbuild 0 || missing+=(rpm)
fi
if [[ ${1:-} == tests ]]; then
    { at_least lintian 0 && at_least rpmlint 0 && at_least mandoc 0; } || missing+=(lint)
fi
if [[ ${1:-} == vm ]]; then
    at_least qemu-system-x86_64 0 || missing+=(qemu)
    at_least mmdebstrap 0 || missing+=(mmdebstrap)
    { at_least cpio 0 && at_least depmod 0 && at_least busybox 0 && at_least mke2fs 0; } || missing+=(image)
fi
[[ ${#missing[@]} -eq 0 ]] && exit 0

declare -A packages
if command -v apt-get >/dev/null; then
    packages=([gcc]='gcc libc6-dev' [node]=nodejs [python]=python3 [go]=golang-go
        [npm]=npm [venv]=python3-venv [cxx]=g++
        [qemu]=qemu-system-x86 [mmdebstrap]=mmdebstrap [image]='cpio kmod busybox-static e2fsprogs zstd xz-utils'
        [openssl]=openssl [curl]=curl [testssl]=testssl.sh [slowhttptest]=slowhttptest [chromium]=chromium
        [strace]=strace [disks]=qemu-system-common [ext4]=e2fsprogs [mount]='mount util-linux' [ip]=iproute2 [systemd]=systemd
        [deb]='debhelper dpkg-dev' [rpm]=rpm [lint]='lintian rpmlint mandoc')
    install() { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@"; }
elif command -v dnf >/dev/null; then
    packages=([gcc]='gcc glibc-devel' [node]=nodejs [python]=python3 [go]=golang [npm]=npm [venv]=python3 [cxx]=gcc-c++
        [qemu]=qemu-system-x86-core [mmdebstrap]=mmdebstrap [image]='cpio kmod busybox e2fsprogs zstd xz'
        [openssl]=openssl [curl]=curl [testssl]=testssl [slowhttptest]=slowhttptest [chromium]=chromium
        [strace]=strace [disks]=qemu-common [ext4]=e2fsprogs [mount]=util-linux [ip]=iproute [systemd]=systemd
        [deb]='debhelper dpkg-dev' [rpm]=rpm-build [lint]='lintian rpmlint mandoc')
    install() { dnf install -y "$@"; }
else
    say "error: missing: ${missing[*]}, and neither apt-get nor dnf is here to install them"
    say ''
    say 'hint: install a C compiler, Node 18, Python 3.9 and Go 1.19 or newer, then run this again'
    exit 1
fi

names=()
for part in "${missing[@]}"; do
    read -ra words <<<"${packages[$part]}"
    names+=("${words[@]}")
done
say "installing ${names[*]}"
if [[ $(id -u) -eq 0 ]]; then
    install "${names[@]}" >&2
elif command -v sudo >/dev/null; then
    sudo bash -c "$(declare -f install); install \"\$@\"" install "${names[@]}" >&2
else
    say "error: missing: ${names[*]}, and installing them needs root"
    say ''
    say "hint: run as root, or install them and run this again"
    exit 1
fi
