"""Plays the daemon for one worker: starts a shim without a sandbox and talks to it on descriptor 3.

Written against `protocol/src/worker.rs` alone, so that a mistake shared by all shims shows.
"""

import json
import os
import select
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path

RUNTIMES = Path(__file__).resolve().parent.parent
FUNCTIONS = Path(__file__).resolve().parent / "functions"
NAMES = {0x80: "hello", 0x81: "ready", 0x82: "call", 0x83: "log", 0x85: "done", 0x86: "failed"}
TYPES = {"init": 1, "invoke": 2, "reply": 4, "cancel": 5, "shutdown": 6}
DEADLINE_S = 20
USER = {"id": "u1", "email": "ada@example.com", "role": "user", "verified": True}
REQUEST = {
    "method": "POST",
    "path": "/api/functions/x",
    "query": {},
    "headers": {"x-test": "é"},
    "ip": "127.0.0.1",
}
INVALID = {
    "type": "/problems/validation_failed",
    "title": "Unprocessable Content",
    "status": 422,
    "detail": "the document has 1 wrong field",
    "code": "validation_failed",
    "errors": [{"field": "title", "code": "required", "message": "is required"}],
}
NOT_FOUND = {"type": "/problems/document_not_found", "title": "Not Found", "status": 404, "detail": "no such document", "code": "document_not_found"}


class Trouble(Exception):
    """The shim did something else than the protocol says."""


def executable(runtime):
    """Path of the interpreter; `ALYX_NODE` and `ALYX_PYTHON` name another one."""
    name = {"node": "node", "python": "python3"}[runtime]
    path = os.environ.get(f"ALYX_{runtime.upper()}") or shutil.which(name)
    if path is None:
        raise Trouble(f"{name} is not installed")
    return path


def build_go(directory, target):
    """Compiles a worker of the conformance function."""
    environment = {**os.environ, "GOPROXY": "off", "GOFLAGS": "-trimpath", "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
    subprocess.run(["go", "build", "-o", target, "."], cwd=directory, env=environment, check=True)


def command(runtime, root, go_worker):
    """The command line of a worker outside of a sandbox: the shim is in place, the bundle at `root`."""
    if runtime == "go":
        return [str(go_worker)]
    arguments = json.loads((RUNTIMES / runtime / "runtime.json").read_text())["arguments"]
    shim = str(RUNTIMES / runtime)
    return [executable(runtime), *(argument.replace("/alyx/shim", shim) for argument in arguments), str(root)]


class Worker:
    """One worker and our end of its link."""

    def __init__(self, runtime, root=None, go_worker=None):
        self.runtime = runtime
        self.root = root or FUNCTIONS / runtime
        self.ours, theirs = socket.socketpair()
        self.buffer = b""
        self.last_invocation = 0
        self.logs = []
        self.calls = []
        self.output = tempfile.TemporaryFile()
        # In a sandbox /tmp ends with the worker.
        self.temporary = tempfile.TemporaryDirectory(prefix="alyx-shim-")
        home = self.temporary.name
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TZ": "UTC", "HOME": home, "TMPDIR": home}
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            command(runtime, self.root, go_worker),
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.output,
            env=environment,
            pass_fds=(3,),
            preexec_fn=lambda: os.dup2(theirs.fileno(), 3),
        )
        theirs.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ours.close()
        self.process.kill()
        self.process.wait()
        self.output.close()
        self.temporary.cleanup()

    def send(self, name, message):
        body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
        self.send_raw(struct.pack("<IB", len(body) + 1, TYPES[name]) + body)

    def send_raw(self, data):
        self.ours.sendall(data)

    def receive(self):
        """The next frame as (name, message)."""
        length = struct.unpack("<I", self.read(4))[0]
        if not 1 <= length <= 16 * 1024 * 1024:
            raise Trouble(f"frame length {length}")
        frame = self.read(length)
        name = NAMES.get(frame[0])
        if name is None:
            raise Trouble(f"frame type {frame[0]:#04x}")
        return name, json.loads(frame[1:].decode("utf-8", "strict"))

    def read(self, size):
        end = time.monotonic() + DEADLINE_S
        parts, have = [self.buffer], len(self.buffer)
        while have < size:
            if not select.select([self.ours], [], [], max(0, end - time.monotonic()))[0]:
                raise Trouble(f"nothing came; it printed {self.printed()!r}")
            part = self.ours.recv(1 << 20)
            if not part:
                raise Trouble(f"the worker has gone; it printed {self.printed()!r}")
            parts.append(part)
            have += len(part)
        data = b"".join(parts)
        self.buffer = data[size:]
        return data[:size]

    def expect(self, expected):
        name, message = self.receive()
        if name != expected:
            raise Trouble(f"{expected} was due, {name} came: {message}; it printed {self.printed()!r}")
        return message

    def start(self, entrypoint=None, concurrency=1):
        """From hello to ready."""
        hello = self.expect("hello")
        self.send_init(entrypoint, concurrency)
        self.expect("ready")
        return hello

    def send_init(self, entrypoint=None, concurrency=1):
        if entrypoint is None:
            entrypoint = {"node": "index.js", "python": "main.py", "go": ""}[self.runtime]
        self.send(
            "init",
            {
                "function": "conformance",
                "entrypoint": entrypoint,
                "env": {"GREETING": "hé"},
                "secrets": {"KEY": "hidden"},
                "concurrency": concurrency,
            },
        )

    def invoke(self, case, deadline_ms=10_000, **more):
        """Starts an invocation of one case and returns its number."""
        self.last_invocation += 1
        self.send(
            "invoke",
            {
                "invocation": self.last_invocation,
                "deadline_ms": deadline_ms,
                "input": {"do": case, **more},
                "auth": USER,
                "request": REQUEST,
                "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
            },
        )
        return self.last_invocation

    def answer(self, reply=None):
        """The next `done` or `failed`; keeps logs and answers calls on the way there."""
        while True:
            name, message = self.receive()
            if name == "log":
                self.logs.append(message)
            elif name == "call":
                self.calls.append(message)
                self.reply(message, (reply or canned)(message))
            elif name in ("done", "failed"):
                return name, message
            else:
                raise Trouble(f"{name} is not due: {message}")

    def reply(self, call, outcome):
        if outcome is not None:
            self.send("reply", {"call": call["call"], **outcome})

    def run(self, case, **more):
        """One invocation from beginning to end."""
        number = self.invoke(case, **more)
        name, message = self.answer()
        if message["invocation"] != number:
            raise Trouble(f"an answer to invocation {message['invocation']}, not {number}")
        return name, message

    def exit_status(self):
        """Waits for the worker's end."""
        return self.process.wait(DEADLINE_S)

    def printed(self):
        self.output.seek(0)
        return self.output.read()[-2000:].decode("utf-8", "replace")


def canned(call):
    """What our pretended database answers."""
    args = call["args"]
    if call["op"] == "db.list":
        return {"ok": {"docs": [{"id": "p1"}, {"id": "p2"}], "limit": 2, "next_cursor": "c", "total": 5}}
    if call["op"] == "db.get":
        if args["id"] == "absent":
            return {"error": NOT_FOUND}
        return None if args["id"] == "never" else {"ok": {"id": args["id"]}}
    if call["op"] == "db.create":
        return {"ok": {"id": "new", **args["data"]}} if args["data"] else {"error": INVALID}
    if call["op"] == "db.update":
        return {"ok": {"id": args["id"], **args["data"]}}
    return {"ok": None}
