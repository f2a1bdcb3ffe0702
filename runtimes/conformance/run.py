"""Runs the shims against a pretended daemon, without a sandbox.

    python3 runtimes/conformance/run.py [--bench] [node|python|go]…

`ALYX_NODE` and `ALYX_PYTHON` name other interpreters. The last line is `N passed, N failed`.
"""

import argparse
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from cases import CASES  # noqa: E402
from driver import FUNCTIONS, Trouble, Worker, build_go  # noqa: E402

VARIANTS = {"node": ["node"], "python": ["python", "python-async"], "go": ["go"]}
WARM_CALLS = 2_000
COLD_STARTS = 15


def starter(variant, go_worker):
    """How a case starts a worker of this variant."""
    runtime = variant.partition("-")[0]
    entrypoint = "async_main.py" if variant == "python-async" else None

    def start(ready=True, concurrency=1, root=None):
        worker = Worker(runtime, root, go_worker)
        if ready:
            try:
                worker.start(entrypoint, concurrency)
            except BaseException:
                worker.__exit__()
                raise
        return worker

    return start


def run_cases(variants, go_worker):
    passed, failed = 0, 0
    for variant in variants:
        start = starter(variant, go_worker)
        for function, only in CASES:
            if variant not in only:
                continue
            name = function.__name__.replace("_", " ")
            try:
                function(start)
            except Exception as error:
                failed += 1
                print(f"FAIL {variant}: {name}: {error}")
                if not isinstance(error, Trouble):
                    traceback.print_exc()
            else:
                passed += 1
                print(f"ok   {variant}: {name}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def run_bench(variants, go_worker):
    """Prints the time from start to hello and to ready, and of a warm round trip."""
    print(f"{'runtime':14}{'hello ms':>10}{'ready ms':>10}{'warm µs p50':>13}{'p99':>8}{'db µs p50':>11}{'RSS MiB':>9}")
    for variant in variants:
        start = starter(variant, go_worker)
        hellos, readies = [], []
        for _ in range(COLD_STARTS):
            with start(ready=False) as worker:
                worker.expect("hello")
                hellos.append(time.perf_counter() - worker.started)
                worker.send_init("async_main.py" if variant == "python-async" else None)
                worker.expect("ready")
                readies.append(time.perf_counter() - worker.started)
        with start() as worker:
            warm = measure(lambda: worker.run("echo", value="x" * 150))
            call = measure(lambda: worker.run("db_error"))
            rss = resident_mib(worker.process.pid)
        cold = f"{middle(hellos) * 1e3:10.1f}{middle(readies) * 1e3:10.1f}"
        print(f"{variant:14}{cold}{middle(warm) * 1e6:13.0f}{rank(warm, 99) * 1e6:8.0f}{middle(call) * 1e6:11.0f}{rss:9.1f}")
    return 0


def measure(action):
    times = []
    for _ in range(WARM_CALLS):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return times[WARM_CALLS // 10 :]


def middle(times):
    return rank(times, 50)


def rank(times, percent):
    return sorted(times)[len(times) * percent // 100]


def resident_mib(pid):
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main():
    parser = argparse.ArgumentParser(description="Runs the shims against a pretended daemon.")
    parser.add_argument("runtimes", nargs="*", metavar="runtime", help="node, python or go; all by default")
    parser.add_argument("--bench", action="store_true", help="measure instead of testing")
    arguments = parser.parse_args()
    unknown = set(arguments.runtimes) - set(VARIANTS)
    if unknown:
        parser.error(f"no such runtime: {', '.join(sorted(unknown))}")
    chosen = arguments.runtimes or list(VARIANTS)
    # The worker's end of the link becomes descriptor 3; nothing of ours may be there.
    if os.open(os.devnull, os.O_RDONLY) != 3:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 3)
    with tempfile.TemporaryDirectory() as scratch:
        go_worker = Path(scratch) / "worker"
        if "go" in chosen:
            build_go(FUNCTIONS / "go", go_worker)
        variants = [variant for runtime in chosen for variant in VARIANTS[runtime]]
        return (run_bench if arguments.bench else run_cases)(variants, go_worker)


if __name__ == "__main__":
    sys.exit(main())
