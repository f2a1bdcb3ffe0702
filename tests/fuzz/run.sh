#!/usr/bin/env bash
# Builds the fuzz targets with coverage counters and runs each for some seconds, guided by what its
# inputs reach. Starts from the inputs in corpus/, keeps what it finds in target/fuzz/corpus.
#
#   tests/fuzz/run.sh SECONDS [TARGET…]
#
# An input that ends a target is left in target/fuzz/found; run the program with it to see it again.
# Closes with `N passed, N failed`.
set -uo pipefail
cd "$(dirname "$0")" || exit 1

seconds=${1:?how many seconds for each target}
shift
target=$(cd ../.. && pwd)/target/fuzz
# The passes are LLVM's own, so a stable compiler has them. Counters only: no sanitizer.
flags='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing'
triple=$(rustc -vV | sed -n 's/^host: //p')

# The same versions as in the daemon.
cp ../../Cargo.lock Cargo.lock
RUSTFLAGS=$flags CARGO_TARGET_DIR=$target cargo build --release --target "$triple" || exit 1

names=("$@")
if [[ ${#names[@]} -eq 0 ]]; then
    for file in targets/*.rs; do names+=("$(basename "$file" .rs)"); done
fi
passed=0
failed=0
for name in "${names[@]}"; do
    mkdir -p "$target/corpus/$name" "$target/found/$name"
    if "$target/$triple/release/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -max_len=16384 -verbosity=0 -print_final_stats=1 -artifact_prefix="$target/found/$name/" \
        "$target/corpus/$name" "corpus/$name" 2>"$target/$name.log"; then
        printf '%-12s %s runs\n' "$name" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$target/$name.log")"
        passed=$((passed + 1))
    else
        printf '%-12s failed; its last words:\n' "$name"
        tail -n 25 "$target/$name.log"
        failed=$((failed + 1))
    fi
done
printf '%d passed, %d failed\n' "$passed" "$failed"
[[ $failed -eq 0 ]]
