"""`ctx.respond`: an HTTP response built by a handler.

It is checked where the handler builds it, so that the traceback points at its line.
"""

from alyx import Error

from .frame import to_json

HEADERS_MAX = 100

_NAME_CHARACTERS = frozenset(
    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)


class Response:
    """What `ctx.respond` returns. Handlers return it; they do not look inside."""

    __slots__ = ("wire",)

    def __init__(self, wire):
        self.wire = wire


def respond(*, status=200, headers=None, body=None):
    if type(status) is not int or not 200 <= status <= 599:
        raise _bad(f"status {status!r} is not a whole number within 200..=599")
    checked = _check_headers(headers or {})
    wire = {"status": status, "headers": checked}
    if isinstance(body, str):
        wire["body"] = body
        checked.setdefault("content-type", "text/plain; charset=utf-8")
    elif isinstance(body, (bytes, bytearray, memoryview)):
        from binascii import b2a_base64

        wire["body_base64"] = b2a_base64(body, newline=False).decode()
        checked.setdefault("content-type", "application/octet-stream")
    elif body is not None:
        wire["body"] = to_json(body).decode()
        checked.setdefault("content-type", "application/json")
    return Response(wire)


def _check_headers(headers):
    if len(headers) > HEADERS_MAX:
        raise _bad(f"{len(headers)} headers are more than {HEADERS_MAX}")
    checked = {}
    for name, value in headers.items():
        text = str(value)
        if not (isinstance(name, str) and name and _NAME_CHARACTERS.issuperset(name)):
            raise _bad(f"{name!r} is not a header name")
        if not all(character == "\t" or " " <= character <= "~" for character in text):
            raise _bad(f"header {name} has a character that headers cannot carry")
        checked[name.lower()] = text
    return checked


def _bad(message):
    return Error("function_bad_response", f"ctx.respond: {message}")
