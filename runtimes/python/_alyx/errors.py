"""Errors that cross the link.

Problems of the daemon become errors of the function, and whatever a function raises becomes the
body of `failed`.
"""

from alyx import Error

from .frame import to_json

MESSAGE_MAX_BYTES = 8 * 1024
STACK_MAX_BYTES = 32 * 1024

_CODE_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")
_SHIM = __file__.rpartition("/")[0]


def from_problem(problem):
    """Turns a problem document of the daemon into an error."""
    code = str(problem.get("code", "internal"))
    message = problem.get("detail") or problem.get("title") or code
    return Error(
        code,
        str(message),
        status=problem.get("status"),
        details=problem.get("details"),
        errors=problem.get("errors"),
        hint=problem.get("hint"),
    )


def to_failure(error):
    """Turns an exception into the fields of `failed`. Never raises."""
    try:
        return _describe(error)
    except Exception:
        return {"code": "function_error", "message": "the function raised something that cannot be read"}


def _describe(error):
    code = getattr(error, "code", None)
    chosen = _is_code(code)
    failure = {
        "code": code if chosen else "function_error",
        "message": cut(str(error) or type(error).__name__, MESSAGE_MAX_BYTES),
    }
    status = getattr(error, "status", None)
    if type(status) is int and 400 <= status <= 599:
        failure["status"] = status
    details = getattr(error, "details", None)
    if details is None and chosen and isinstance(getattr(error, "errors", None), list):
        details = {"errors": error.errors}
    if details is not None and _is_json(details):
        failure["details"] = details
    failure["stack"] = cut(_stack(error), STACK_MAX_BYTES)
    return failure


def _is_code(code):
    return (
        isinstance(code, str)
        and 0 < len(code) <= 64
        and "a" <= code[0] <= "z"
        and _CODE_CHARACTERS.issuperset(code)
    )


def _is_json(value):
    try:
        to_json(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _stack(error):
    # Takes longer to import than the shim takes to start, and only failures need it.
    from traceback import format_exception

    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_SHIM):
        trace = trace.tb_next
    return "".join(format_exception(type(error), error, trace)).rstrip("\n")


def cut(text, max_bytes):
    """Cuts text to a number of bytes, on a character's boundary."""
    if len(text) * 4 <= max_bytes:
        return text
    data = text.encode("utf-8", "replace")
    if len(data) <= max_bytes:
        return text
    return data[:max_bytes].decode("utf-8", "ignore") + "…"
