"""The cases of the conformance suite. Each gets a way to start workers and fails by raising.

A case is a function whose name says what must hold. Names in `@case(…)` limit it to some variants.
"""

import base64
import shutil
import struct
import tempfile
from pathlib import Path

from driver import USER, Trouble

CASES = []
ALL = ("node", "python", "python-async", "go")


def case(*variants):
    def register(function):
        CASES.append((function, variants or ALL))
        return function

    return register


def equal(got, expected):
    if got != expected:
        raise Trouble(f"got {got!r}, expected {expected!r}")


def value_of(outcome):
    name, message = outcome
    if name != "done":
        raise Trouble(f"it failed: {message}")
    return message.get("value")


def failure_of(outcome):
    name, message = outcome
    if name != "failed":
        raise Trouble(f"it did not fail: {str(message)[:300]}")
    return message


@case()
def hello_comes_first_and_names_the_runtime(start):
    with start(ready=False) as worker:
        hello = worker.expect("hello")
        equal(hello["protocol"], 1)
        equal(hello["runtime"], worker.runtime)
        equal(set(hello), {"protocol", "runtime", "version"})


@case()
def values_come_back_as_they_went(start):
    with start() as worker:
        for value in (None, True, 0, -1, 1.5, "", "é日本😀\u2028\0", [], {}, [[{"a": [None]}]], {"__proto__": 1}):
            expected = value
            name, message = worker.run("echo", value=value)
            equal(name, "done")
            equal(message.get("value"), expected)


@case()
def nothing_returned_is_no_value(start):
    with start() as worker:
        equal(worker.run("nothing"), ("done", {"invocation": 1}))


@case("node")
def null_returned_is_a_value(start):
    with start() as worker:
        equal(worker.run("null"), ("done", {"invocation": 1, "value": None}))


@case()
def the_context_holds_what_the_daemon_sent(start):
    with start() as worker:
        equal(
            value_of(worker.run("context")),
            {
                "auth": USER,
                "env": "hé",
                "process_env": "hé",
                "secret": "hidden",
                "secret_in_env": None,
                "method": "POST",
                "header": "é",
                "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
                "remaining_ok": True,
            },
        )


@case()
def log_lines_carry_their_level_and_invocation(start):
    with start() as worker:
        value_of(worker.run("log"))
        lines = [(line["invocation"], line["level"], line["message"]) for line in worker.logs]
        texts = [("info", "plain"), ("debug", "low"), ("info", "a 1"), ("warn", "careful"), ("error", "bad")]
        equal(lines, [(1, level, text) for level, text in texts])


@case()
def an_ordinary_error_is_function_error(start):
    with start() as worker:
        failure = failure_of(worker.run("throw"))
        equal((failure["code"], failure.get("status"), failure["message"]), ("function_error", None, "boom"))
        equal(value_of(worker.run("echo", value=1)), 1)


@case("node", "python", "python-async")
def an_ordinary_error_carries_its_stack(start):
    with start() as worker:
        stack = failure_of(worker.run("throw"))["stack"]
        # Node 18 runs a copy, so only the file's name is sure.
        equal("boom" in stack and ("index.js:" in stack or "main.py" in stack), True)


@case()
def an_error_keeps_its_code_status_and_details(start):
    with start() as worker:
        failure = failure_of(worker.run("error"))
        equal((failure["code"], failure["status"], failure["details"]), ("card_declined", 402, {"attempt": 2}))
        equal("the card was declined" in failure["message"], True)


@case()
def a_code_or_status_of_another_form_is_dropped(start):
    with start() as worker:
        failure = failure_of(worker.run("odd_error"))
        equal((failure["code"], failure.get("status"), failure["message"]), ("function_error", None, "odd"))


@case("go")
def a_panic_fails_its_invocation_only(start):
    with start() as worker:
        failure = failure_of(worker.run("panic"))
        equal((failure["code"], failure["message"]), ("function_error", "panic: out of luck"))
        equal("main.go" in failure["stack"], True)
        equal(value_of(worker.run("echo", value=1)), 1)


@case()
def a_result_that_is_not_json_fails(start):
    with start() as worker:
        equal(failure_of(worker.run("not_json"))["code"], "function_result_not_json")
        equal(value_of(worker.run("echo", value=1)), 1)


@case()
def what_is_nested_too_deep_stays_inside(start):
    with start() as worker:
        # The frame is one level itself, the arguments and the document of a call one each.
        equal(worker.run("deep", depth=127)[0], "done")
        equal(failure_of(worker.run("deep", depth=128))["code"], "function_result_not_json")
        equal(worker.run("deep_call", depth=125)[0], "done")
        calls = len(worker.calls)
        equal(failure_of(worker.run("deep_call", depth=126))["code"], "function_error")
        equal(len(worker.calls), calls)
        equal("details" in failure_of(worker.run("deep_details", depth=127)), True)
        failure = failure_of(worker.run("deep_details", depth=128))
        equal((failure["code"], "details" in failure), ("deep_details", False))
        brackets = "[" * 300 + '\\"{'
        equal(value_of(worker.run("echo", value=[brackets])), [brackets])


@case()
def a_result_over_the_frame_fails(start):
    with start() as worker:
        equal(failure_of(worker.run("too_large"))["code"], "function_output_too_large")
        equal(value_of(worker.run("large")), "x" * (5 * 1024 * 1024))


@case()
def a_large_input_arrives(start):
    with start() as worker:
        text = "é" * (3 * 1024 * 1024)
        equal(value_of(worker.run("echo", value=text)), text)


@case()
def a_response_is_sent_as_built(start):
    with start() as worker:
        text, json_type = "text/plain; charset=utf-8", "application/json"
        cases = {
            "respond": {"status": 201, "headers": {"x-made": "yes", "content-type": text}, "body": "made"},
            "respond_json": {"status": 200, "headers": {"content-type": json_type}, "body": '{"a":1}'},
            "respond_bytes": {
                "status": 200,
                "headers": {"content-type": "application/octet-stream"},
                "body_base64": base64.b64encode(b"\0\xff\1").decode(),
            },
            "respond_empty": {"status": 204, "headers": {}},
        }
        for name, response in cases.items():
            outcome, message = worker.run(name)
            equal((outcome, message.get("response")), ("done", response))


@case()
def a_bad_response_fails(start):
    with start() as worker:
        equal(failure_of(worker.run("respond_bad"))["code"], "function_bad_response")
        equal(failure_of(worker.run("respond_header"))["code"], "function_bad_response")


@case()
def documents_go_through_calls(start):
    with start() as worker:
        equal(
            value_of(worker.run("db")),
            {
                "page": {"docs": [{"id": "p1"}, {"id": "p2"}], "limit": 2, "next_cursor": "c", "total": 5},
                "one": {"id": "p1"},
                "none": None,
                "made": {"id": "new", "title": "T"},
                "changed": {"id": "p1", "title": "U"},
            },
        )
        query = {"filter": ["status:eq:published"], "sort": "-created_at", "limit": 2, "count": True}
        equal(
            [(call["invocation"], call["op"], call["args"]) for call in worker.calls],
            [
                (1, "db.list", {"collection": "posts", "query": query}),
                (1, "db.get", {"collection": "posts", "id": "p1"}),
                (1, "db.get", {"collection": "posts", "id": "absent"}),
                (1, "db.create", {"collection": "posts", "data": {"title": "T"}}),
                (1, "db.update", {"collection": "posts", "id": "p1", "data": {"title": "U"}}),
                (1, "db.delete", {"collection": "posts", "id": "p1"}),
            ],
        )
        numbers = [call["call"] for call in worker.calls]
        equal(numbers, sorted(set(numbers)))


@case()
def a_problem_of_the_daemon_is_an_error_of_the_function(start):
    with start() as worker:
        errors = [{"field": "title", "code": "required", "message": "is required"}]
        equal(value_of(worker.run("db_error")), {"code": "validation_failed", "status": 422, "errors": errors})
        failure = failure_of(worker.run("db_uncaught"))
        equal(
            (failure["code"], failure["status"], failure["details"]),
            ("validation_failed", 422, {"errors": errors}),
        )


@case()
def a_call_that_nobody_waits_for_is_made_before_the_answer(start):
    with start() as worker:
        worker.invoke("db_unawaited")
        name, call = worker.receive()
        equal((name, call["op"], call["args"]["data"]), ("call", "db.create", {"title": "late"}))
        worker.reply(call, {"ok": {}})
        equal(value_of(worker.answer()), "early")


@case()
def open_calls_are_bounded(start):
    with start() as worker:
        worker.invoke("db_many")
        first = [worker.expect("call") for _ in range(32)]
        worker.reply(first[0], {"ok": {}})
        first.append(worker.expect("call"))
        for call in first[1:]:
            worker.reply(call, {"ok": {}})
        equal(value_of(worker.answer()), 100)


@case()
def invocations_run_at_once(start):
    with start(concurrency=4) as worker:
        numbers = [worker.invoke("wait_for_cancel") for _ in range(3)]
        equal(value_of(worker.run("echo", value="meanwhile")), "meanwhile")
        for number in reversed(numbers):
            worker.send("cancel", {"invocation": number, "reason": "client_gone"})
            equal(worker.answer(), ("done", {"invocation": number, "value": "cancelled"}))


@case()
def calls_of_several_invocations_do_not_mix(start):
    with start(concurrency=8) as worker:
        numbers = [worker.invoke("db") for _ in range(8)]
        answers = dict((message["invocation"], message["value"]["one"]) for _, message in (worker.answer() for _ in numbers))
        equal(answers, {number: {"id": "p1"} for number in numbers})


@case()
def cancel_reaches_a_lone_invocation(start):
    with start() as worker:
        number = worker.invoke("wait_for_cancel")
        worker.send("cancel", {"invocation": number, "reason": "deadline"})
        equal(value_of(worker.answer()), "cancelled")
        equal(value_of(worker.run("echo", value=1)), 1)


@case()
def cancel_ends_a_waiting_call(start):
    with start() as worker:
        number = worker.invoke("cancelled_call")
        call = worker.expect("call")
        worker.send("cancel", {"invocation": number, "reason": "deadline"})
        equal(failure_of(worker.answer())["code"], "invocation_cancelled")
        # The daemon's reply was on its way; it must not hurt.
        worker.reply(call, {"ok": None})
        equal(value_of(worker.run("echo", value=1)), 1)


@case()
def cancel_of_an_answered_invocation_is_ignored(start):
    with start() as worker:
        value_of(worker.run("nothing"))
        worker.send("cancel", {"invocation": 1, "reason": "client_gone"})
        equal(value_of(worker.run("echo", value=1)), 1)


@case()
def printing_does_not_disturb(start):
    with start() as worker:
        equal(value_of(worker.run("flood")), "unharmed")
        equal(value_of(worker.run("echo", value=1)), 1)
        equal(worker.printed().count("forged") > 10, True)


@case("node", "python", "python-async")
def replaced_globals_do_not_disturb(start):
    with start() as worker:
        equal(value_of(worker.run("patch", value="é")), {"value": "é"})
        equal(value_of(worker.run("echo", value="é")), "é")


@case()
def nothing_is_said_for_an_answered_invocation(start):
    with start() as worker:
        equal(value_of(worker.run("late")), "done")
        equal(worker.expect("log"), {"invocation": None, "level": "info", "message": "too late"})
        equal(value_of(worker.run("echo", value=1)), 1)
        equal(worker.calls, [])


@case("node")
def a_stray_error_fails_its_invocation(start):
    for concurrency in (1, 2):
        with start(concurrency=concurrency) as worker:
            equal(failure_of(worker.run("stray"))["code"], "stray_error")
            equal(failure_of(worker.run("stray_rejection"))["code"], "stray_error")
            equal(value_of(worker.run("echo", value=1)), 1)


@case()
def exit_of_the_function_ends_the_worker(start):
    with start() as worker:
        worker.invoke("exit")
        equal(worker.exit_status(), 3)


@case()
def shutdown_of_an_idle_worker(start):
    with start() as worker:
        value_of(worker.run("nothing"))
        worker.send("shutdown", {})
        equal(worker.exit_status(), 0)


@case()
def shutdown_waits_for_what_is_open(start):
    with start() as worker:
        number = worker.invoke("cancelled_call")
        call = worker.expect("call")
        worker.send("shutdown", {})
        worker.reply(call, {"ok": {"id": "x"}})
        equal(worker.answer(), ("done", {"invocation": number, "value": {"id": "x"}}))
        equal(worker.exit_status(), 0)


@case()
def the_end_of_the_link_ends_the_worker(start):
    for ready in (False, True):
        with start(ready=ready) as worker:
            if not ready:
                worker.expect("hello")
            worker.ours.close()
            equal(worker.exit_status(), 0)


@case()
def garbage_ends_the_worker(start):
    body = b'{"invocation":1'
    garbage = {
        "a zero length": b"\0\0\0\0",
        "a length over the bound": struct.pack("<I", 16 * 1024 * 1024 + 1),
        "an unknown type": struct.pack("<IB", 3, 0x7F) + b"{}",
        "a body that is not JSON": struct.pack("<IB", len(body) + 1, 5) + body,
        "a reply to nothing": struct.pack("<IB", 20, 4) + b'{"call":99,"ok":{}}',
    }
    for what, data in garbage.items():
        with start() as worker:
            worker.send_raw(data)
            equal((what, worker.exit_status()), (what, 1))
            equal("alyx: the worker link is broken" in worker.printed(), True)


@case()
def an_invoke_before_ready_ends_the_worker(start):
    with start(ready=False) as worker:
        worker.expect("hello")
        worker.invoke("nothing")
        equal(worker.exit_status(), 1)


def load_failure(start, files, entrypoint, text):
    """A function of these files fails to load with a message that holds the text."""
    with temporary(files) as root, start(ready=False, root=root) as worker:
        worker.expect("hello")
        worker.send_init(entrypoint)
        failure = worker.expect("failed")
        equal((failure["invocation"], failure["code"]), (None, "function_load_failed"))
        if text not in failure["message"]:
            raise Trouble(f"{failure['message']!r} does not hold {text!r}")
        equal(worker.exit_status(), 1)


class temporary:
    """A bundle of these files for as long as a `with` block."""

    def __init__(self, files):
        self.files = files

    def __enter__(self):
        self.root = Path(tempfile.mkdtemp(prefix="alyx-conformance-"))
        for name, text in self.files.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)
        return self.root

    def __exit__(self, *_):
        shutil.rmtree(self.root)


@case("node")
def a_node_function_that_cannot_load_says_why(start):
    load_failure(start, {}, "index.js", "index.js")
    load_failure(start, {"index.js": "throw new Error('at once')"}, "index.js", "at once")
    load_failure(start, {"index.js": "let = ;"}, "index.js", "Unexpected token")
    load_failure(start, {"index.js": "exports.other = 1"}, "index.js", "exports no function")
    load_failure(start, {"index.js": "import x from './missing.js'"}, "index.js", "missing.js")


@case("python")
def a_python_function_that_cannot_load_says_why(start):
    load_failure(start, {}, "main.py", "main.py")
    load_failure(start, {"main.py": "raise ValueError('at once')"}, "main.py", "at once")
    load_failure(start, {"main.py": "def handler(:"}, "main.py", "invalid syntax")
    load_failure(start, {"main.py": "handler = 1"}, "main.py", "no function named handler")
    load_failure(start, {"main.py": "import missing"}, "main.py", "missing")


def serves(start, files, entrypoint, expected):
    with temporary(files) as root, start(ready=False, root=root) as worker:
        worker.start(entrypoint)
        equal(value_of(worker.run("any")), expected)
        equal(worker.printed(), "")


@case("node")
def every_form_of_a_node_handler_is_found(start):
    common = {"index.js": "module.exports = (ctx) => 'exports'"}
    serves(start, common, "index.js", "exports")
    serves(start, {"index.js": "exports.handler = async () => 'named'"}, "index.js", "named")
    serves(start, {"index.js": "exports.default = () => 'inner'"}, "index.js", "inner")
    serves(start, {"index.cjs": "module.exports = () => 'cjs'"}, "index.cjs", "cjs")
    serves(start, {"index.mjs": "export default () => 'mjs'"}, "index.mjs", "mjs")
    serves(start, {"index.mjs": "export const handler = () => 'named'"}, "index.mjs", "named")
    serves(start, {"index.js": "export default () => 'typeless'"}, "index.js", "typeless")
    parts = {"index.js": "import { x } from './lib/x.js'\nexport default () => x", "lib/x.js": "export const x = 'two'"}
    serves(start, parts, "index.js", "two")
    serves(start, {**parts, "package.json": '{"type":"module"}'}, "index.js", "two")
    package = {"node_modules/p/index.js": "exports.y = 'package'", "src/a.js": "export default () => y\nimport { y } from 'p'"}
    serves(start, package, "src/a.js", "package")
    serves(start, {"index.js": "const t = await Promise.resolve('top')\nexport default () => t"}, "index.js", "top")


@case("python")
def every_form_of_a_python_handler_is_found(start):
    serves(start, {"main.py": "handler = lambda ctx: 'lambda'"}, "main.py", "lambda")
    serves(start, {"main.py": "async def handler(ctx): return 'async'"}, "main.py", "async")
    wrapped = "import functools\ndef d(f):\n  @functools.wraps(f)\n  def w(ctx): return f(ctx)\n  return w\n"
    serves(start, {"main.py": wrapped + "@d\ndef handler(ctx): return 'wrapped'"}, "main.py", "wrapped")
    serves(start, {"main.py": wrapped + "@d\nasync def handler(ctx): return 'both'"}, "main.py", "both")
    callable_object = "class H:\n  async def __call__(self, ctx): return 'object'\nhandler = H()"
    serves(start, {"main.py": callable_object}, "main.py", "object")
    beside = {"main.py": "import helper, v, json\nfrom alyx import Error\ndef handler(ctx): return helper.x + v.y"}
    serves(start, {**beside, "helper.py": "x = 'a'", "vendor/v.py": "y = 'b'"}, "main.py", "ab")
    serves(start, {"src/app.py": "def handler(ctx): return __name__"}, "src/app.py", "app")
