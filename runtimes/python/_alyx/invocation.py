"""One open invocation: its calls to the daemon, its log, and its single answer.

After the answer nothing more is sent in its name, because the daemon treats a frame about an
unknown invocation as a broken worker.
"""

from _thread import allocate_lock

from alyx import Error

from . import frame
from .errors import to_failure
from .link import Waiter
from .respond import Response

# The daemon allows this many open calls of one invocation; further ones wait here.
OPEN_CALLS_MAX = 32


class Invocation:
    """The part that sync and async handlers share."""

    def __init__(self, invocation_id, worker):
        self.id = invocation_id
        self.worker = worker
        self.calls = set()
        self.cancelled_by = None
        self.ended = False

    def is_cancelled(self):
        return self.cancelled_by is not None

    def log(self, level, message):
        body = {"invocation": None if self.ended else self.id, "level": level, "message": message}
        self.worker.link.send(frame.encode(frame.LOG, frame.to_json(body)))

    def refusal(self, op):
        """Why no call can be made any more, or None."""
        if self.cancelled_by is not None:
            return self.cancelled_by
        if self.ended:
            return Error("invocation_ended", f"{op}: the invocation has been answered already")
        return None

    def send_call(self, call, op, args, transaction):
        """Sends one call, with `call.reply(message)` and `call.abandon(error)` to settle it."""
        number = self.worker.next_call(call)
        body = {"call": number, "invocation": self.id, "op": op, "args": args}
        if transaction is not None:
            body["transaction"] = transaction
        try:
            data = frame.encode(frame.CALL, frame.to_json(body))
            if data is None:
                raise Error("call_too_large", f"{op}: over 16 MiB", status=413)
        except BaseException:
            self.worker.forget_call(number)
            raise
        self.calls.add(call)
        self.worker.link.send(data)

    def cancel(self, reason):
        """Gives up on the calls; the handler still answers."""
        if self.cancelled_by is not None:
            return
        message = f"the invocation was cancelled: {reason}"
        self.cancelled_by = Error("invocation_cancelled", message, status=503, details={"reason": reason})
        for call in tuple(self.calls):
            call.abandon(self.cancelled_by)

    def done(self, value):
        """Answers with what the handler returned."""
        try:
            data = frame.encode(frame.DONE, _done_body(self.id, value))
        except (TypeError, ValueError, RecursionError) as error:
            message = f"the function returned something that is not JSON: {error}"
            return self.failed(Error("function_result_not_json", message))
        if data is None:
            return self.failed(Error("function_output_too_large", "the function returned more than 16 MiB"))
        return self.worker.close(self, data)

    def failed(self, error):
        """Answers with what the handler raised."""
        self.worker.close(self, failed_frame(self.id, to_failure(error)))


class SyncInvocation(Invocation):
    """Of a `def handler(ctx)`: calls block their thread."""

    def __init__(self, invocation_id, worker):
        super().__init__(invocation_id, worker)
        self._places = allocate_lock()
        self._taken = 0
        self._queue = []
        self._idle = None

    def is_cancelled(self):
        if self.cancelled_by is None:
            self.worker.link.poll()
        return self.cancelled_by is not None

    def call(self, op, args, transaction=None):
        self._take_place()
        call = _SyncCall(self)
        try:
            refusal = self.refusal(op)
            if refusal is not None:
                raise refusal
            self.send_call(call, op, args, transaction)
        except BaseException:
            self.give_place()
            raise
        self.worker.link.wait(call)
        if call.error is not None:
            raise call.error
        return call.value

    def wait_for_calls(self):
        """Waits for calls of threads that the handler has left running."""
        with self._places:
            if self._taken == 0:
                return
            self._idle = Waiter()
        self.worker.link.wait(self._idle)

    def _take_place(self):
        """Waits until another call may be open. `give_place` hands a place on without freeing it."""
        with self._places:
            if self._taken < OPEN_CALLS_MAX:
                self._taken += 1
                return
            waiter = Waiter()
            self._queue.append(waiter)
        self.worker.link.wait(waiter)

    def give_place(self):
        with self._places:
            if self._queue:
                heir = self._queue.pop(0)
            else:
                self._taken -= 1
                heir = self._idle if self._taken == 0 else None
        if heir is not None:
            self.worker.link.settle(heir)


class _SyncCall(Waiter):
    __slots__ = ("error", "invocation", "value")

    def __init__(self, invocation):
        super().__init__()
        self.invocation = invocation
        self.error = None
        self.value = None

    def reply(self, message):
        self.value = message.get("ok")
        if "error" in message:
            from .errors import from_problem

            self.error = from_problem(message["error"])
        self._settle()

    def abandon(self, error):
        self.error = error
        self._settle()

    def _settle(self):
        self.invocation.calls.discard(self)
        self.invocation.worker.link.settle(self)
        self.invocation.give_place()


def _done_body(invocation_id, value):
    if value is None:
        return b'{"invocation":%d}' % invocation_id
    if isinstance(value, Response):
        return frame.to_json({"invocation": invocation_id, "response": value.wire})
    if hasattr(value, "__await__"):
        raise TypeError("a coroutine; declare the handler with `async def`")
    return b'{"invocation":%d,"value":%b}' % (invocation_id, frame.to_json(value))


def failed_frame(invocation_id, failure):
    """A `failed` frame; details that a frame cannot hold are left out."""
    try:
        data = frame.encode(frame.FAILED, frame.to_json({"invocation": invocation_id, **failure}))
    except ValueError:
        # Nested too deep, which only details can be.
        data = None
    if data is None:
        failure.pop("details", None)
        data = frame.encode(frame.FAILED, frame.to_json({"invocation": invocation_id, **failure}))
    return data
