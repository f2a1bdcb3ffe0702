"""The worker: takes frames, runs invocations, answers.

One invocation at a time runs on the main thread. More run on a thread each, or as tasks of one
event loop where the handler is `async def`.
"""

import sys

from . import frame
from .context import Context
from .errors import to_failure
from .invocation import SyncInvocation, failed_frame
from .link import Link, Waiter, break_link, end_worker
from .load import is_async, load


def run(root):
    """Serves one function until `shutdown` or the end of the link."""
    Worker(root).serve()


class Worker:
    """State of the worker. `on_frame` may run on any thread, one at a time."""

    def __init__(self, root):
        self.link = Link(self.on_frame)
        self.root = root
        self.init = None
        self.open = {}
        self._calls = {}
        self._last_call = 0
        self._queue = []
        self._work = Waiter()
        self._stopping = False
        self._start = self._enqueue

    def serve(self):
        while self.init is None:
            self.link.read()
        handler = self._load()
        self.link.send(frame.encode(frame.READY, b"{}"))
        if is_async(handler):
            from .async_worker import serve_async

            serve_async(self, handler)
        elif self.init["concurrency"] > 1:
            self._serve_threads(handler)
        else:
            self._serve_one_by_one(handler)

    def next_call(self, call):
        """Registers a call and numbers it."""
        # Threads may get here together; the lock makes the numbers unique.
        with self.link.numbers:
            self._last_call += 1
            self._calls[self._last_call] = call
            return self._last_call

    def forget_call(self, number):
        del self._calls[number]

    def close(self, invocation, data):
        """Sends the answer of an invocation and forgets it."""
        invocation.ended = True
        self.open.pop(invocation.id, None)
        flush_output()
        self.link.send(data)
        if self._stopping and not self.open:
            end_worker(0)

    def on_frame(self, frame_type, message):
        if frame_type == frame.INVOKE:
            self._on_invoke(message)
        elif frame_type == frame.REPLY:
            call = self._calls.pop(message["call"], None)
            if call is None:
                break_link("a reply to no call")
            if not call.settled:
                call.reply(message)
        elif frame_type == frame.CANCEL:
            invocation = self.open.get(message["invocation"])
            if invocation is not None:
                invocation.cancel(message["reason"])
        elif frame_type == frame.INIT:
            self._on_init(message)
        else:
            self._stopping = True
            if not self.open:
                end_worker(0)

    def start_with(self, start):
        """Replaces what happens to an `invoke`."""
        self._start = start
        for message in self._queue:
            start(message)
        self._queue.clear()

    def _on_init(self, message):
        if self.init is not None:
            break_link("a second init")
        self.init = message

    def _on_invoke(self, message):
        if self.init is None:
            break_link("an invoke before ready")
        if message["invocation"] in self.open:
            break_link("an invocation that is open already")
        self._start(message)

    def _enqueue(self, message):
        self.open[message["invocation"]] = SyncInvocation(message["invocation"], self)
        self._queue.append(message)
        self.link.settle(self._work)

    def _load(self):
        try:
            import os

            os.environ.update(self.init["env"])
            # Lines of print() leave at once, not when 8 KiB have come together.
            sys.stdout.reconfigure(line_buffering=True)
            return load(self.root, self.init["entrypoint"])
        except SystemExit as error:
            end_worker(exit_status(error))
        except BaseException as error:
            failure = {**to_failure(error), "code": "function_load_failed"}
            failure.pop("status", None)
            failure.pop("details", None)
            self.link.send(failed_frame(None, failure))
            end_worker(1)

    def _serve_one_by_one(self, handler):
        while True:
            self.link.wait(self._work)
            self._work = Waiter()
            while self._queue:
                message = self._queue.pop(0)
                self._invoke(handler, message, self.open[message["invocation"]])

    def _serve_threads(self, handler):
        from queue import SimpleQueue
        from threading import Thread

        waiting = SimpleQueue()
        threads = []

        def work():
            while True:
                self._invoke(handler, *waiting.get())

        def start(message):
            invocation = SyncInvocation(message["invocation"], self)
            self.open[invocation.id] = invocation
            # Threads are kept: there are never more than `concurrency`.
            if len(self.open) > len(threads):
                threads.append(Thread(target=work, daemon=True))
                threads[-1].start()
            waiting.put((message, invocation))

        self.start_with(start)
        self.link.read_for_ever()

    def _invoke(self, handler, message, invocation):
        try:
            value = handler(Context(invocation, message, self.init, is_async=False))
            invocation.wait_for_calls()
        except SystemExit as error:
            end_worker(exit_status(error))
        except BaseException as error:
            invocation.failed(error)
        else:
            invocation.done(value)


def flush_output():
    """What the handler printed leaves before its answer."""
    try:
        sys.stdout.flush()
    except Exception:  # noqa: S110 - user code may have closed or replaced it
        pass


def exit_status(error):
    """The status that `sys.exit` was called with."""
    if error.code is None:
        return 0
    return error.code if isinstance(error.code, int) else 1
