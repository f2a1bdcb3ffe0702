#!/usr/bin/env bash
# Runs the suites and closes with one line: `N passed, N failed`.
#
#   tests/suites.sh check    format, clippy, tidy, unit tests
#   tests/suites.sh all      the same, the black-box suites, and the shims' own tests
#
# A suite that this machine cannot run is named with the reason and counts as neither.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

which=${1:-all}
passed=0
failed=0
not_run=()
broken=()
unsteady=()
logs=target/suites
mkdir -p "$logs"

heading() { printf '\n== %s\n' "$1"; }

# One step that passes or fails as a whole.
step() {
    local name=$1
    shift
    heading "$name"
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        broken+=("$name")
    fi
}

# Runs a suite, shows its output, and counts with the named function, which prints "passed failed".
suite() {
    local name=$1 count=$2 log status counts
    shift 2
    heading "$name"
    log="$logs/${name//[^a-z0-9]/-}.log"
    "$@" 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    read -ra counts <<<"$("$count" "$log")"
    if [[ $count == count_cargo && ${counts[1]} -gt 0 ]] && passes_alone "$log" "${counts[1]}"; then
        counts=($((counts[0] + counts[1])) 0)
        status=0
    fi
    passed=$((passed + counts[0]))
    failed=$((failed + counts[1]))
    if [[ ${counts[1]} -gt 0 || $status -ne 0 ]]; then
        broken+=("$name")
        # A suite that did not even build has no failed test to count.
        [[ ${counts[1]} -eq 0 ]] && failed=$((failed + 1))
    elif [[ ${counts[0]} -eq 0 ]]; then
        broken+=("$name ran no test")
        failed=$((failed + 1))
    fi
}

# True if every failed test of this log passes five times in a row with the machine to itself. Such a test is
# named in the summary: it or what it tests depends on timing, and somebody should look. More than three failures
# are no accident, nor is one that has no name, like a crash of the whole suite.
passes_alone() {
    local log=$1 failures=$2 names again round lines
    # A test that runs itself again in a namespace of its own fails twice under one name.
    lines=$(grep -cE '^test .+ \.\.\. FAILED$' "$log")
    mapfile -t names < <(sed -nE 's/^test (.+) \.\.\. FAILED$/\1/p' "$log" | sort -u)
    [[ ${#names[@]} -le 3 && $lines -eq $failures ]] || return 1
    for round in 1 2 3 4 5; do
        heading "again, alone, $round of 5: ${names[*]}"
        cargo test --workspace --locked --no-fail-fast --lib --bins --tests -- \
            --exact "${names[@]}" --test-threads=1 2>&1 | tee "$log.again" | grep -E '^test |panicked|^error'
        [[ ${PIPESTATUS[0]} -eq 0 ]] || return 1
        read -ra again <<<"$(count_cargo "$log.again")"
        [[ ${again[0]} -ge ${#names[@]} && ${again[1]} -eq 0 ]] || return 1
    done
    unsteady+=("${names[@]}")
}

count_cargo() {
    awk '/^test result:/ { p += $4; f += $6 } END { print p + 0, f + 0 }' "$1"
}
count_node() {
    awk '/^(#|ℹ) pass / { p += $3 } /^(#|ℹ) (fail|cancelled) / { f += $3 } END { print p + 0, f + 0 }' "$1"
}
count_python() {
    awk '/^Ran [0-9]+ test/ { n += $2 }
        /^FAILED/ { while (match($0, /(failures|errors)=[0-9]+/)) {
            split(substr($0, RSTART, RLENGTH), part, "="); f += part[2]; $0 = substr($0, RSTART + RLENGTH) } }
        END { print n - f, f + 0 }' "$1"
}
count_plain() {
    awk '/^[0-9]+ passed, [0-9]+ failed/ { p = $1; f = $3 } END { print p + 0, f + 0 }' "$1"
}
count_go() {
    awk '/^ *--- PASS/ { p++ } /^ *--- FAIL/ { f++ } END { print p + 0, f + 0 }' "$1"
}

# True if the program is there; else the suite is named as not run.
have() {
    local suite=$1 program=$2
    command -v "$program" >/dev/null && return 0
    not_run+=("$suite: $program is not on PATH")
    return 1
}

# True if a virtual machine can be made and run; else that is named as not run.
can_emulate() {
    local suite='virtual machine' program
    if [[ $(id -u) -ne 0 ]]; then
        not_run+=("$suite: making its image needs root")
        return 1
    fi
    for program in qemu-system-x86_64 mmdebstrap mke2fs cpio busybox; do
        have "$suite" "$program" || return 1
    done
    if ! tests/vm/image.sh bookworm >"$logs/image.log" 2>&1; then
        not_run+=("$suite: its image could not be made; $logs/image.log says why")
        return 1
    fi
}

rust_component() {
    local suite=$1 command=$2
    cargo "$command" --version >/dev/null 2>&1 && return 0
    not_run+=("$suite: cargo $command is not installed (rustup component add ${command/fmt/rustfmt})")
    return 1
}

rust_component format fmt && step format cargo fmt --all --check
rust_component clippy clippy && step clippy cargo clippy --workspace --all-targets --locked -- -D warnings

if [[ $which == check ]]; then
    suite 'unit tests' count_cargo cargo test --workspace --exclude alyx-tests --locked --no-fail-fast
    suite tidy count_cargo cargo test -p alyx-tests --test tidy --locked
else
    step build cargo build --workspace --bins --locked
    step 'peers of the tests' tests/peers/install.sh
    suite 'cargo test' count_cargo cargo test --workspace --locked --no-fail-fast
    have 'node shim' node && suite 'node shim' count_node node --test --test-reporter=tap runtimes/node/test/*.test.js
    have 'python shim' python3 &&
        suite 'python shim' count_python python3 -B -m unittest discover -s runtimes/python/tests
    have 'go shim' go && suite 'go shim' count_go env -C runtimes/go GOPROXY=off GOTOOLCHAIN=local go test -v ./...
    languages=()
    for pair in node:node python3:python go:go; do
        command -v "${pair%%:*}" >/dev/null && languages+=("${pair##*:}")
    done
    have 'shims against one another' python3 &&
        suite 'shims against one another' count_plain python3 -B runtimes/conformance/run.py "${languages[@]}"
    # What only a host with cgroup v2 and systemd shows; `make vm` runs all of it.
    can_emulate && suite 'virtual machine' count_cargo \
        cargo test --workspace --locked --no-fail-fast --test vm -- --test-threads=1 strict::
    have fuzz c++ && suite fuzz count_plain tests/fuzz/run.sh "${FUZZ_SECONDS:-5}"
    [[ $(id -u) -eq 0 ]] || not_run+=('suites that need root: this is not root')
fi

heading summary
for reason in "${not_run[@]}"; do printf 'not run: %s\n' "$reason"; done
for name in "${unsteady[@]}"; do printf 'unsteady: %s failed beside the others and passed five times alone\n' "$name"; done
for name in "${broken[@]}"; do printf 'failed:  %s\n' "$name"; done
if [[ $which == check && ${#not_run[@]} -gt 0 ]]; then
    # A check that checked less must not look like a pass to whoever is about to commit.
    failed=$((failed + ${#not_run[@]}))
fi
printf '%d passed, %d failed\n' "$passed" "$failed"
[[ $failed -eq 0 ]]
