"""Loads the user's module and finds the handler in it."""

import sys

_CO_COROUTINE = 0x80


def load(root, entrypoint):
    """The handler of `entrypoint` below `root`. Raises the user's own exception where it raises."""
    import posix

    posix.chdir(root)
    # First the function's own files, then what its build put beside them.
    sys.path[:0] = [root, f"{root}/vendor", f"{root}/site-packages"]
    name = entrypoint.rpartition("/")[2].rpartition(".")[0]
    module = _import_file("__alyx_function__" if name == "__main__" else name, f"{root}/{entrypoint}")
    handler = getattr(module, "handler", None)
    if not callable(handler):
        raise ImportError(f"{entrypoint} has no function named handler: def handler(ctx) or async def handler(ctx)")
    return handler


def _import_file(name, path):
    module_from_spec, spec_from_file_location = _importer()
    spec = spec_from_file_location(name, path)
    if spec is None:
        raise ImportError(f"{path} is not a Python file")
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _importer():
    """Two functions of `importlib.util`, from where they live: that module takes 4 ms to import."""
    try:
        from _frozen_importlib import module_from_spec
        from _frozen_importlib_external import spec_from_file_location
    except ImportError:
        from importlib.util import module_from_spec, spec_from_file_location
    return module_from_spec, spec_from_file_location


def is_async(handler):
    """Whether calling it makes a coroutine, seen through partials, decorators and callable objects."""
    while True:
        inner = getattr(handler, "__wrapped__", None) or getattr(handler, "func", None)
        if inner is None:
            break
        handler = inner
    code = getattr(handler, "__code__", None)
    if code is None:
        code = getattr(getattr(type(handler), "__call__", None), "__code__", None)
    return code is not None and bool(code.co_flags & _CO_COROUTINE)
