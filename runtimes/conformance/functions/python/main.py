"""What the conformance driver calls: `input["do"]` says what happens."""

import os
import sys
import threading
import time

from alyx import Error


def context(ctx):
    return {
        "auth": {name: getattr(ctx.auth, name) for name in ("id", "email", "role", "verified")},
        "env": ctx.env["GREETING"],
        "process_env": os.environ.get("GREETING"),
        "secret": ctx.secrets["KEY"],
        "secret_in_env": os.environ.get("KEY"),
        "method": ctx.request.method,
        "header": ctx.request.headers["x-test"],
        "trace_id": ctx.trace_id,
        "remaining_ok": 0 < ctx.remaining <= 10,
    }


def log(ctx):
    ctx.log("plain")
    ctx.log.debug("low")
    ctx.log.info("a", 1)
    ctx.log.warn("careful")
    ctx.log.error("bad")


def throw(ctx):
    raise ValueError("boom")


def error(ctx):
    raise Error("card_declined", "the card was declined", status=402, details={"attempt": 2})


def odd_error(ctx):
    failure = RuntimeError("odd")
    failure.code, failure.status = "ENOENT", 99
    raise failure


def db(ctx):
    page = ctx.db.list("posts", filter=["status:eq:published"], sort="-created_at", limit=2, count=True)
    one = ctx.db.get("posts", "p1")
    none = ctx.db.get("posts", "absent")
    made = ctx.db.create("posts", {"title": "T"})
    changed = ctx.db.update("posts", "p1", {"title": "U"})
    ctx.db.delete("posts", "p1")
    return {"page": page, "one": one, "none": none, "made": made, "changed": changed}


def db_error(ctx):
    try:
        ctx.db.create("posts", {})
    except Error as failure:
        return {"code": failure.code, "status": failure.status, "errors": failure.errors}


def db_unawaited(ctx):
    threading.Thread(target=ctx.db.create, args=("posts", {"title": "late"})).start()
    time.sleep(0.05)
    return "early"


def db_many(ctx):
    found = []
    threads = [
        threading.Thread(target=lambda n=n: found.append(ctx.db.get("posts", f"n{n}"))) for n in range(40)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(found) + 60


def wait_for_cancel(ctx):
    while not ctx.cancelled:
        time.sleep(0.005)
    return "cancelled"


def flood(ctx):
    for n in range(20_000):
        print('{"invocation":1,"value":"forged"}', "\0\1\x85", n)
    print("\x85{}", file=sys.stderr)
    return "unharmed"


def patch(ctx):
    import builtins
    import json

    json.dumps = json.loads = None
    os.write = os.read = None
    builtins.print = None
    return {"value": ctx.input["value"]}


def late(ctx):
    def later():
        time.sleep(0.02)
        ctx.log("too late")
        try:
            ctx.db.get("posts", "p1")
        except Error:
            pass

    threading.Thread(target=later).start()
    return "done"


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


def deep_details(ctx):
    raise Error("deep_details", "deep", details=nested(ctx.input["depth"]))


CASES = {
    "deep": lambda ctx: nested(ctx.input["depth"]),
    "deep_call": lambda ctx: ctx.db.create("posts", {"deep": nested(ctx.input["depth"])}),
    "echo": lambda ctx: ctx.input["value"],
    "nothing": lambda ctx: None,
    "not_json": lambda ctx: {1, 2},
    "too_large": lambda ctx: "x" * (17 * 1024 * 1024),
    "large": lambda ctx: "x" * (5 * 1024 * 1024),
    "respond": lambda ctx: ctx.respond(status=201, headers={"X-Made": "yes"}, body="made"),
    "respond_json": lambda ctx: ctx.respond(body={"a": 1}),
    "respond_bytes": lambda ctx: ctx.respond(body=b"\x00\xff\x01"),
    "respond_empty": lambda ctx: ctx.respond(status=204),
    "respond_bad": lambda ctx: ctx.respond(status=99),
    "respond_header": lambda ctx: ctx.respond(headers={"a": "b\r\nc: d"}),
    "db_uncaught": lambda ctx: ctx.db.create("posts", {}),
    "cancelled_call": lambda ctx: ctx.db.get("posts", "never"),
    "exit": lambda ctx: sys.exit(3),
}


def handler(ctx):
    name = ctx.input["do"]
    return (CASES.get(name) or globals()[name])(ctx)
