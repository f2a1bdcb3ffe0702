"""Descriptor 3: the only way in and out of the worker.

There is no thread for reading. Whoever waits for a reply reads, and hands over what belongs to
others; so one invocation at a time runs on the main thread without a change of threads, and the
main thread reads whenever it has nothing to run. Anything malformed ends the process.
"""

import posix
from _thread import allocate_lock

from .frame import Splitter

LINK_FD = 3
READ_BYTES = 64 * 1024


def end_worker(status):
    """Ends the process without waiting for threads of user code."""
    import sys

    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: S110 - user code may have closed or replaced it
            pass
    posix._exit(status)


def break_link(error):
    """The daemon said something that this protocol does not have."""
    try:
        posix.write(2, f"alyx: the worker link is broken: {error}\n".encode())
    finally:
        posix._exit(1)


class Link:
    """Sends frames from any thread; reads them in one thread at a time."""

    def __init__(self, on_frame):
        self._on_frame = on_frame
        self._splitter = Splitter()
        self._write = allocate_lock()
        self._guard = allocate_lock()
        self.numbers = allocate_lock()
        self._reading = False
        self._waiters = set()
        posix.set_blocking(LINK_FD, True)

    def send(self, frame):
        """Sends a frame whole. The daemon has gone where that fails, so there is nobody to serve."""
        try:
            with self._write:
                written = posix.write(LINK_FD, frame)
                while written < len(frame):
                    written += posix.write(LINK_FD, memoryview(frame)[written:])
        except OSError:
            end_worker(0)

    def read(self):
        """Reads what is there, blocking until something is, and hands over whole frames."""
        try:
            data = posix.read(LINK_FD, READ_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            end_worker(0)
        try:
            for frame_type, message in self._splitter.push(data):
                self._on_frame(frame_type, message)
        except Exception as error:
            break_link(error)

    def read_for_ever(self):
        """Makes the calling thread the one that reads."""
        self._lead()
        while True:
            self.read()

    def poll(self):
        """Hands over what has arrived already, unless another thread is reading anyway."""
        if not self._lead():
            return
        try:
            from select import poll as make_poll

            watch = make_poll()
            watch.register(LINK_FD, 1)
            while watch.poll(0):
                self.read()
        finally:
            self._stop_leading()

    def wait(self, waiter):
        """Blocks until `waiter.settled`."""
        with self._guard:
            self._waiters.add(waiter)
        try:
            while not waiter.settled:
                if self._lead():
                    try:
                        while not waiter.settled:
                            self.read()
                    finally:
                        self._stop_leading()
                else:
                    waiter.wake.acquire()
        finally:
            with self._guard:
                self._waiters.discard(waiter)

    def settle(self, waiter):
        """Marks a waiter as settled and wakes its thread."""
        with self._guard:
            waiter.settled = True
            _release(waiter.wake)

    def _lead(self):
        with self._guard:
            if self._reading:
                return False
            self._reading = True
            return True

    def _stop_leading(self):
        with self._guard:
            self._reading = False
            # One of the others has to read from now on.
            for waiter in self._waiters:
                if not waiter.settled:
                    _release(waiter.wake)
                    break


class Waiter:
    """Something that a thread waits for."""

    __slots__ = ("settled", "wake")

    def __init__(self):
        self.settled = False
        self.wake = allocate_lock()
        self.wake.acquire()


def _release(lock):
    if lock.locked():
        lock.release()
