"""Runs `async def` handlers as tasks of one event loop. Imported only for them: asyncio is slow to load."""

import asyncio

from .context import Context
from .invocation import OPEN_CALLS_MAX, Invocation
from .errors import from_problem
from .link import LINK_FD, end_worker


def serve_async(worker, handler):
    """Serves until `shutdown` or the end of the link."""
    asyncio.run(_serve(worker, handler))


async def _serve(worker, handler):
    loop = asyncio.get_running_loop()
    tasks = set()

    def start(message):
        invocation = AsyncInvocation(message["invocation"], worker)
        worker.open[invocation.id] = invocation
        invocation.task = loop.create_task(_invoke(worker, handler, message, invocation))
        # The loop itself only holds tasks weakly.
        tasks.add(invocation.task)
        invocation.task.add_done_callback(tasks.discard)

    worker.start_with(start)
    loop.add_reader(LINK_FD, worker.link.read)
    await loop.create_future()


async def _invoke(worker, handler, message, invocation):
    try:
        value = await handler(Context(invocation, message, worker.init, is_async=True))
        await invocation.wait_for_calls()
    except asyncio.CancelledError:
        invocation.failed(invocation.cancelled_by or asyncio.CancelledError("the handler cancelled itself"))
    except SystemExit as error:
        from .worker import exit_status

        end_worker(exit_status(error))
    except BaseException as error:
        invocation.failed(error)
    else:
        invocation.done(value)


class AsyncInvocation(Invocation):
    """Of an `async def handler(ctx)`: calls are awaited."""

    task = None

    def __init__(self, invocation_id, worker):
        super().__init__(invocation_id, worker)
        self._room = asyncio.Semaphore(OPEN_CALLS_MAX)
        self._tasks = set()

    def call(self, op, args, transaction=None):
        """A task rather than a coroutine, so that a call nobody awaits still happens."""
        task = asyncio.ensure_future(self._call(op, args, transaction))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _call(self, op, args, transaction):
        async with self._room:
            refusal = self.refusal(op)
            if refusal is not None:
                raise refusal
            call = _AsyncCall(self)
            self.send_call(call, op, args, transaction)
            return await call.future

    async def wait_for_calls(self):
        """Waits for the calls that the handler did not await."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    def cancel(self, reason):
        super().cancel(reason)
        # Not at once: a task that has not begun yet would end without a word.
        self.task.get_loop().call_soon(self.task.cancel)


class _AsyncCall:
    __slots__ = ("future", "invocation")

    def __init__(self, invocation):
        self.invocation = invocation
        self.future = asyncio.get_running_loop().create_future()

    @property
    def settled(self):
        return self.future.done()

    def reply(self, message):
        self.invocation.calls.discard(self)
        if "error" in message:
            self.future.set_exception(from_problem(message["error"]))
        else:
            self.future.set_result(message.get("ok"))

    def abandon(self, error):
        self.invocation.calls.discard(self)
        if not self.future.done():
            self.future.set_exception(error)
