"""`ctx`: what a handler gets, one per invocation."""

from time import time

from .db import AsyncDb, Db
from .errors import cut
from .respond import respond

# The daemon cuts lines at 8 KiB; this only keeps a huge one off the link.
LOG_LINE_BYTES = 16 * 1024


class Auth:
    """Who is calling. An anonymous caller has no id."""

    __slots__ = ("id", "email", "role", "verified")

    def __init__(self, message):
        for name in self.__slots__:
            setattr(self, name, message.get(name))


class Request:
    """The HTTP request behind the call."""

    __slots__ = ("method", "path", "query", "headers", "ip")

    def __init__(self, message):
        for name in self.__slots__:
            setattr(self, name, message.get(name))


class Log:
    """`ctx.log("text")` is `ctx.log.info("text")`."""

    __slots__ = ("_write",)

    def __init__(self, write):
        self._write = write

    def __call__(self, *parts):
        self._line("info", parts)

    def debug(self, *parts):
        self._line("debug", parts)

    def info(self, *parts):
        self._line("info", parts)

    def warn(self, *parts):
        self._line("warn", parts)

    warning = warn

    def error(self, *parts):
        self._line("error", parts)

    def _line(self, level, parts):
        self._write(level, cut(" ".join(map(str, parts)), LOG_LINE_BYTES))


class Context:
    """What a handler gets."""

    def __init__(self, invocation, message, init, is_async):
        self._invocation = invocation
        # Handlers may read members of it even where the caller sent nothing.
        self.input = {} if message["input"] is None else message["input"]
        self.auth = Auth(message["auth"])
        self.request = Request(message["request"])
        self.env = init["env"]
        self.secrets = init["secrets"]
        self.trace_id = message["trace_id"]
        # Seconds since the epoch, like `time.time()`.
        self.deadline = time() + message["deadline_ms"] / 1000
        self.log = Log(invocation.log)
        self.db = (AsyncDb if is_async else Db)(invocation.call)
        self.events = self.db.events

    @property
    def cancelled(self):
        """Whether the caller has given up. Cheap enough to ask in a loop."""
        return self._invocation.is_cancelled()

    @property
    def remaining(self):
        """Seconds that are left; never negative."""
        return max(0.0, self.deadline - time())

    respond = staticmethod(respond)
