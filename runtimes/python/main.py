"""The Python shim: the program of a Python worker.

`hello` leaves before anything is imported, so that the wait for `init` covers the rest. This file
stays small because Python never caches the byte code of the main program.
"""

import posix
import sys

_VERSION = "%d.%d.%d" % sys.version_info[:3]
_HELLO = b'\x80{"protocol":1,"runtime":"python","version":"' + _VERSION.encode() + b'"}'
posix.write(3, len(_HELLO).to_bytes(4, "little") + _HELLO)

# Only while the shim itself is imported: user code finds /fn and the standard library.
sys.path.insert(0, __file__.rpartition("/")[0])
from _alyx.worker import run  # noqa: E402

del sys.path[0]

# The bundle's place; another one is given by tests that run without a sandbox.
run(sys.argv[1] if len(sys.argv) > 1 else "/fn")
