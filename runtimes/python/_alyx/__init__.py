"""The parts of the Python shim. Not for user code; `alyx` is."""
