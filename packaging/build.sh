#!/usr/bin/env bash
# Builds the Debian package and the rpm from this tree into target/package, or $ALYX_PACKAGE_DIR, with the
# distributions' own tools.
#
#   packaging/build.sh            optimised, as it is to be installed
#   packaging/build.sh --again    the same, compiled once more in another folder and compared
#   packaging/build.sh --debug    from the binaries in target/debug, which takes seconds; for tests
#
# Two builds of one commit are the same to the byte: times are the commit's, and no path of this machine is left.
set -euo pipefail
cd "$(dirname "$0")/.."

profile=release
case ${1:-} in
    '') ;;
    --debug) profile=debug ;;
    --again)
        first=$(mktemp -d) && again=$(mktemp -d)
        trap 'rm -rf "$first" "$again"' EXIT
        ALYX_PACKAGE_DIR=$first packaging/build.sh
        ALYX_PACKAGE_DIR=$again ALYX_DIST_DIR=$again/dist packaging/build.sh
        diff "$first/SHA256SUMS" "$again/SHA256SUMS"
        exit
        ;;
    *) echo "error: $1 is not an option" >&2; exit 2 ;;
esac
for tool in dh dpkg-buildpackage rpmbuild; do
    command -v "$tool" >/dev/null || { echo "error: $tool is missing; run packaging/prerequisites.sh package" >&2; exit 1; }
done

out=${ALYX_PACKAGE_DIR:-$PWD/target/package}
stage=$out/stage
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y Cargo.toml)}
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
umask 022

if [[ $profile == release ]]; then
    # Paths of this machine do not belong into the binaries.
    dist=${ALYX_DIST_DIR:-$PWD/target/dist}
    cargo=${CARGO_HOME:-$HOME/.cargo}
    RUSTFLAGS="${RUSTFLAGS:-} --remap-path-prefix=$dist=dist --remap-path-prefix=$PWD=alyx --remap-path-prefix=$cargo=cargo" \
        CFLAGS="${CFLAGS:-} -ffile-prefix-map=$dist=dist -ffile-prefix-map=$cargo=cargo" \
        cargo build --release --locked --bin alyx --bin alyxd --bin alyx-supervisor --target-dir "$dist"
    built=$dist/release
else
    built=target/debug
fi

rm -rf "$stage" "$out/deb" "$out/rpm"
install -d "$stage"/usr/{bin,sbin,lib/alyx,share/alyx,share/man/man{1,5,8}} "$stage/etc/alyx"
install -m 755 "$built/alyx" "$stage/usr/bin/"
install -m 755 "$built/alyxd" "$built/alyx-supervisor" "$stage/usr/sbin/"
strip "$stage"/usr/bin/* "$stage"/usr/sbin/*
for runtime in node python go; do
    install -d "$stage/usr/lib/alyx/runtimes/$runtime"
    # Only what git knows, and no tests.
    git ls-files "runtimes/$runtime" | grep -v -e '/tests\?/' -e '_test\.go$' | while read -r file; do
        install -D -m 644 "$file" "$stage/usr/lib/alyx/$file"
    done
done
install -m 644 packaging/etc/alyx.yaml packaging/etc/supervisor.json "$stage/etc/alyx/"
install -m 644 packaging/etc/schema.yaml packaging/prometheus/{alerts.yaml,grafana.json} "$stage/usr/share/alyx/"
install -D -m 644 -t "$stage/usr/lib/systemd/system" systemd/*.{service,socket,slice}
install -D -m 644 -t "$stage/usr/lib/systemd/system-preset" systemd/50-alyx.preset
install -D -m 644 systemd/alyx.sysusers.conf "$stage/usr/lib/sysusers.d/alyx.conf"
install -D -m 644 systemd/alyx.tmpfiles.conf "$stage/usr/lib/tmpfiles.d/alyx.conf"

pages=$out/pages
rm -rf "$pages" && mkdir -p "$pages"
"$built/alyx" man "$pages"
"$built/alyxd" man "$pages"
for page in "$pages"/* packaging/man/*; do
    name=${page##*/}
    gzip -9n <"$page" >"$stage/usr/share/man/man${name##*.}/$name.gz"
done
completions() {
    install -d "$stage/$2"
    "$built/alyx" completions "$1" >"$stage/$2/$3"
}
completions bash usr/share/bash-completion/completions alyx
completions zsh usr/share/zsh/vendor-completions _alyx
completions fish usr/share/fish/vendor_completions.d alyx.fish
# What is linked into the programs, and under which licences.
install -d "$stage/usr/share/doc/alyx"
cargo tree --locked --offline --workspace --edges normal --prefix none --format '{p} {l}' |
    sed -E -e 's/ \((\/|proc-macro)[^)]*\)//g' -e 's/ \(\*\)$//' | grep -v -e '^alyx-' -e '^$' | sort -u |
    gzip -9n >"$stage/usr/share/doc/alyx/crates.txt.gz"
find "$stage" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

# The Debian package.
deb=$out/deb/alyx-$version
mkdir -p "$deb"
cp -r packaging/debian "$deb/debian"
cp systemd/alyx.sysusers.conf "$deb/debian/alyx.sysusers"
cp systemd/alyx.tmpfiles.conf "$deb/debian/alyx.tmpfiles"
date=$(date -u -R --date="@$SOURCE_DATE_EPOCH")
printf 'alyx (%s-1) unstable; urgency=medium\n\n  * See CHANGELOG.md of this version.\n\n -- %s  %s\n' \
    "$version" 'Alyx Developers <dev@alyx.example>' "$date" >"$deb/debian/changelog"
compression=-Zxz
[[ $profile == debug ]] && compression='-Zgzip -z1'
(cd "$deb" && STAGE=$stage DEB_COMPRESSION=$compression DEB_BUILD_OPTIONS=nocheck \
    dpkg-buildpackage -b -us -uc -d >"$out/deb.log" 2>&1) || { tail -n 30 "$out/deb.log" >&2; exit 1; }

# The rpm.
payload=w9.xzdio
[[ $profile == debug ]] && payload=w1.gzdio
rpmbuild -bb --quiet --define "_topdir $out/rpm" --define "stage $stage" --define "alyx_version $version" \
    --define "alyx_date $(date -u --date="@$SOURCE_DATE_EPOCH" '+%a %b %d %Y')" \
    --define '_buildhost localhost' --define 'use_source_date_epoch_as_buildtime 1' \
    --define 'clamp_mtime_to_source_date_epoch 1' --define 'source_date_epoch_from_changelog 0' \
    --define "_binary_payload $payload" packaging/rpm/alyx.spec >"$out/rpm.log" 2>&1 ||
    { tail -n 30 "$out/rpm.log" >&2; exit 1; }

rm -f "$out"/*.deb "$out"/*.rpm
mv "$out"/deb/*.deb "$out"/rpm/RPMS/*/*.rpm "$out/"
rm -rf "$out/deb" "$out/rpm" "$pages"
(cd "$out" && sha256sum ./*.deb ./*.rpm | tee SHA256SUMS)
