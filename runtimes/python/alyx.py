"""What a function imports: `from alyx import Error`."""

from __future__ import annotations

__all__ = ["Error"]


class Error(Exception):
    """An error with a stable code, and optionally a status and details for the caller.

    The message is shown to the caller only where `status` is given and below 500.
    """

    def __init__(self, code, message="", *, status=None, details=None, errors=None, hint=None):
        super().__init__(message or code)
        self.code = code
        self.status = status
        self.details = details
        self.errors = errors
        self.hint = hint
