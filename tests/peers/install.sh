#!/usr/bin/env bash
# Installs the independent clients and servers that suites talk to, as pinned beside this script,
# into target/peers. Does nothing if the pins have not changed. Needs the npm and PyPI registries.
set -uo pipefail
cd "$(dirname "$0")" || exit 1

peers=../../target/peers
mkdir -p "$peers"
failed=0

# True if `$1` was installed before from the same pins.
is_current() { [[ -f $peers/$1.done ]] && cmp -s "$1" "$peers/$1.done"; }

if ! is_current package.json; then
    cp package.json package-lock.json .npmrc "$peers/" 2>/dev/null
    if npm --prefix "$peers" install --no-audit --no-fund --ignore-scripts --loglevel=error; then
        cp package.json "$peers/package.json.done"
    else
        printf 'not installed: the peers from npm\n' >&2
        failed=1
    fi
fi

# Renamed when whole, so that a test never reads half of it.
if [[ -d $peers/node_modules/@bufbuild/cel-spec ]]; then
    if (cd "$peers" && exec node --input-type=module) <cel-spec.mjs >"$peers/cel-spec.json.new"; then
        mv "$peers/cel-spec.json.new" "$peers/cel-spec.json"
    else
        rm -f "$peers/cel-spec.json.new"
        printf 'not written: the cases of cel-spec\n' >&2
        failed=1
    fi
fi

if ! is_current requirements.txt; then
    if python3 -m venv --clear "$peers/venv" &&
        "$peers/venv/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt; then
        cp requirements.txt "$peers/requirements.txt.done"
    else
        printf 'not installed: the peers from PyPI\n' >&2
        failed=1
    fi
fi
# Only unpacked: installed it would be a service.
if [[ ! -x $peers/prometheus/usr/bin/promtool ]] && command -v apt-get >/dev/null; then
    rm -rf "$peers/prometheus" "$peers/prometheus.new" && mkdir -p "$peers/prometheus.new"
    if (cd "$peers/prometheus.new" && apt-get download -q prometheus >&2 && dpkg-deb -x prometheus_*.deb . && rm ./*.deb); then
        mv "$peers/prometheus.new" "$peers/prometheus"
    else
        printf 'not unpacked: prometheus\n' >&2
        failed=1
    fi
fi
exit $failed
