"""Frames of the worker link: bytes to messages and back. Specified in `protocol/src/worker.rs`.

Uses the C half of the `json` module directly: the Python half imports `re`, which would double the
time to start. `json` itself is the fallback. Nothing here does I/O.
"""

FRAME_MAX_BYTES = 16 * 1024 * 1024
DEPTH_MAX = 128
PREFIX_BYTES = 4

INIT = 0x01
INVOKE = 0x02
REPLY = 0x04
CANCEL = 0x05
SHUTDOWN = 0x06
HELLO = 0x80
READY = 0x81
CALL = 0x82
LOG = 0x83
DONE = 0x85
FAILED = 0x86

NAMES = {
    "init": INIT,
    "invoke": INVOKE,
    "reply": REPLY,
    "cancel": CANCEL,
    "shutdown": SHUTDOWN,
    "hello": HELLO,
    "ready": READY,
    "call": CALL,
    "log": LOG,
    "done": DONE,
    "failed": FAILED,
}


class FrameError(Exception):
    """Bytes that are not a frame of this protocol. Fatal to the link."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


def _not_json(value):
    raise TypeError(f"{type(value).__name__} is not JSON")


def _no_constant(name):
    raise ValueError(f"{name} is not JSON")


def _make_codec():
    try:
        import _json

        class Settings:
            strict = True
            object_hook = None
            object_pairs_hook = None
            parse_float = float
            parse_int = int
            parse_constant = staticmethod(_no_constant)
            memo = {}

        def encoder(escape):
            def to_text(value):
                # A fresh set of markers each time: they find cycles of this one value.
                encode = _json.make_encoder({}, _not_json, escape, None, ":", ",", False, False, False)
                return "".join(encode(value, 0))

            return to_text

        scan = _json.make_scanner(Settings())
        to_text = encoder(_json.encode_basestring)
        to_ascii = encoder(_json.encode_basestring_ascii)
        if to_text([1, "a"]) != '[1,"a"]' or scan('[1,"a"]', 0) != ([1, "a"], 7):
            raise TypeError("the C half of json has changed")
        return scan, to_text, to_ascii
    except (ImportError, AttributeError, TypeError):
        import json

        options = {"default": _not_json, "separators": (",", ":"), "allow_nan": False}
        return (
            json.JSONDecoder(parse_constant=_no_constant).scan_once,
            json.JSONEncoder(ensure_ascii=False, **options).encode,
            json.JSONEncoder(ensure_ascii=True, **options).encode,
        )


_scan, _to_text, _to_ascii = _make_codec()


def to_json(value):
    """JSON text of a value in UTF-8. Raises TypeError, ValueError or RecursionError."""
    try:
        return _to_text(value).encode()
    except UnicodeEncodeError:
        # Half a surrogate pair has no UTF-8 form, but an escape.
        return _to_ascii(value).encode()


def from_json(body):
    """The value of JSON text in UTF-8. Raises ValueError or RecursionError."""
    text = str(body, "utf-8").lstrip(" \t\r\n")
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        raise ValueError("no JSON value") from None
    except SystemError:
        # The C half finds the class of its errors only in a `json` that is imported.
        import json

        value = json.loads(text)
        end = len(text)
    if end != len(text) and text[end:].strip(" \t\r\n"):
        raise ValueError("something after the JSON value")
    return value


def encode(frame_type, body):
    """The whole frame, length prefix included, or None where the body is over the bound.

    Raises ValueError where it is nested deeper than the daemon accepts.
    """
    if body.count(b"[") + body.count(b"{") > DEPTH_MAX and not _depth_is_fine(body):
        raise ValueError(f"nested over {DEPTH_MAX} levels")
    length = 1 + len(body)
    if length > FRAME_MAX_BYTES:
        return None
    return b"%b%c%b" % (length.to_bytes(PREFIX_BYTES, "little"), frame_type, body)


def _depth_is_fine(body):
    """Whether no array or object of a JSON text is nested over the bound."""
    import re

    brackets = re.sub(rb'"(?:[^"\\]|\\.)*"', b"", body)
    brackets = re.sub(rb"[^][{}]+", b"", brackets).replace(b"{", b"[").replace(b"}", b"]")
    # Every round removes the innermost level everywhere.
    for _ in range(DEPTH_MAX):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return True
    return False


def frame_length(prefix):
    """Reads a length prefix."""
    length = int.from_bytes(prefix, "little")
    if not 1 <= length <= FRAME_MAX_BYTES:
        raise FrameError("length", f"frame length {length} is not within 1..={FRAME_MAX_BYTES}")
    return length


def decode(frame):
    """Reads a frame without its length prefix; returns its type and message."""
    frame_type = frame[0]
    check = _CHECKS.get(frame_type)
    if check is None:
        raise FrameError("type", f"frame type {frame_type:#04x} is unknown in this direction")
    try:
        message = from_json(frame[1:])
        if type(message) is not dict or not check(message):
            raise ValueError("a field is of a wrong type")
    except (ValueError, KeyError, RecursionError) as error:
        raise FrameError("body", f"body of frame type {frame_type:#04x} is malformed: {error}") from None
    return frame_type, message


def _is_id(value):
    return type(value) is int and 0 < value < 1 << 53


def _is_text_map(value):
    return type(value) is dict and all(type(text) is str for text in value.values())


def _check_init(message):
    return (
        type(message["function"]) is str
        and type(message["entrypoint"]) is str
        and _is_text_map(message["env"])
        and _is_text_map(message["secrets"])
        and _is_id(message["concurrency"])
    )


def _check_invoke(message):
    return (
        _is_id(message["invocation"])
        and type(message["deadline_ms"]) is int
        and "input" in message
        and type(message["auth"]) is dict
        and type(message["request"]) is dict
        and type(message["trace_id"]) is str
    )


def _check_reply(message):
    if "error" in message:
        return _is_id(message["call"]) and type(message["error"]) is dict
    return _is_id(message["call"]) and "ok" in message


def _check_cancel(message):
    return _is_id(message["invocation"]) and message["reason"] in ("deadline", "client_gone", "shutdown")


_CHECKS = {
    INIT: _check_init,
    INVOKE: _check_invoke,
    REPLY: _check_reply,
    CANCEL: _check_cancel,
    SHUTDOWN: lambda message: True,
}


class Splitter:
    """Cuts a stream of bytes into frames.

    Memory follows the bytes received, never a length that was only announced.
    """

    def __init__(self):
        self._buffer = bytearray()

    def push(self, data):
        """Takes bytes and returns the frames they complete, as (type, message)."""
        buffer = self._buffer
        buffer += data
        frames = []
        at = 0
        while len(buffer) - at >= PREFIX_BYTES:
            end = at + PREFIX_BYTES + frame_length(buffer[at : at + PREFIX_BYTES])
            if end > len(buffer):
                break
            frames.append(decode(buffer[at + PREFIX_BYTES : end]))
            at = end
        if at:
            del buffer[:at]
        return frames
