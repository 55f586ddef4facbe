"""Objects that are at hand and cannot be imported: what a notebook or a script itself defines."""

from __future__ import annotations

import ast
import hashlib
import inspect
import pickle
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from types import CodeType
from typing import Any

from hpo_bench.errors import HpoBenchError, reason_of


class Reference(str):
    """The name of an object, with the object itself: other processes get a copy of it.

    It stands where an import path `module:object` could stand. To everything that reads, writes or
    compares words it is its text; `hpo_bench.plugins` takes the object instead of importing one.

    Args:
        path: The name, `__main__:objective`.
        held: The object.
        digest: What tells it from another object of that name; by default `digest_of(held)`.
    """

    __slots__ = ("_pickled", "digest", "held")

    held: Any
    digest: str
    _pickled: bytes | None

    def __new__(cls, path: str, held: Any, digest: str | None = None) -> Reference:
        """Hold an object under a name."""
        made = super().__new__(cls, path)
        made.held = held
        made.digest = digest or digest_of(held)
        made._pickled = None
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        if self._pickled is None:
            self._pickled = _by_value(str(self), self.held)
        return _restored, (str(self), self._pickled, self.digest)


def _restored(path: str, pickled: bytes, digest: str) -> Reference:
    return Reference(path, _unpickled(pickled), digest)


@lru_cache(maxsize=64)
def _unpickled(pickled: bytes) -> Any:
    """Make the object once in a process: its data may be large, and runs come one by one."""
    return pickle.loads(pickled)


def _by_value(path: str, held: Any) -> bytes:
    import cloudpickle  # needed only for what cannot be imported

    try:
        with _foreign_modules_by_value(cloudpickle, held):
            return bytes(cloudpickle.dumps(held))
    except Exception as error:  # whatever an object does when it is pickled
        raise HpoBenchError(
            f"{path} cannot be sent to worker processes: {reason_of(error)}. Use workers=0, which "
            "evaluates in this process, or put it into a module that can be imported"
        ) from error


@contextmanager
def _foreign_modules_by_value(cloudpickle: Any, held: Any) -> Iterator[None]:
    """Send along the modules of an object that were loaded from a place of their own (a hub)."""
    top = _module_of(held).partition(".")[0]
    is_foreign = top != "__main__" and not is_importable(top)
    names = [name for name in sys.modules if name.partition(".")[0] == top] if is_foreign else []
    modules = [sys.modules[name] for name in names]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def _module_of(held: Any) -> str:
    held = getattr(held, "made", held)
    return str(getattr(held, "__module__", None) or type(held).__module__)


def is_importable(module: str) -> bool:
    """Whether another process finds a module's package by itself."""
    top = module.partition(".")[0]
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]
    return any(finder.find_spec(top, None) is not None for finder in finders)


def path_of(held: Any) -> str:
    """Give the import path `module:object` of a class or function.

    Returns:
        A `Reference` that holds the object where no other process could import it: what is defined
        in a notebook, in a script, or within a function.
    """
    module = _module_of(held)
    name = getattr(held, "__qualname__", type(held).__qualname__)
    if module != "__main__" and is_importable(module) and _is_at(module, name, held):
        return f"{_public(module, name, held)}:{name}"
    return reference_to(held)


def reference_to(held: Any, named_by: Any = None) -> Reference:
    """Hold an object under a name that tells it from others, and from another version of it.

    Args:
        held: The object.
        named_by: What its name and its digest are taken from, where that is another object.
    """
    source = held if named_by is None else named_by
    inner = source.func if isinstance(source, partial) else source
    name = getattr(inner, "__qualname__", type(inner).__qualname__)
    digest = digest_of(source)
    return Reference(f"{_module_of(inner)}:{name}@{digest}", held, digest)


def _is_at(module: str, name: str, held: Any) -> bool:
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is held


def _public(module: str, name: str, held: Any) -> str:
    """Give the shortest package that has the object under its name: `optuna.samplers`."""
    parts = module.split(".")
    for length in range(1, len(parts)):
        package = ".".join(parts[:length])
        if "_" not in {part[:1] for part in parts[:length]} and _is_at(package, name, held):
            return package
    return module


def digest_of(held: Any) -> str:
    """Give what tells a function or a class from another version of it: a digest of its source.

    Comments and layout change nothing. Functions that it calls are not looked into. Of an instance
    its class and its attributes count, of a `functools.partial` its function and its arguments.
    """
    return hashlib.sha256(_words(held).encode()).hexdigest()[:16]


def _words(held: Any) -> str:
    if isinstance(held, partial):
        return f"{_words(held.func)} {_attributes(held.keywords)} {len(held.args)}"
    if inspect.isroutine(held) or inspect.isclass(held):
        return _source(held)
    return f"{_source(type(held))} {_attributes(getattr(held, '__dict__', {}))}"


def _attributes(values: dict[str, Any]) -> str:
    """Name the attributes, with those values that are written alike in every process."""
    plain = {k: v for k, v in values.items() if isinstance(v, str | int | float | bool | None)}
    return repr(sorted({**dict.fromkeys(values, ...), **plain}.items(), key=lambda pair: pair[0]))


def _source(held: Any) -> str:
    name = f"{getattr(held, '__module__', '')}.{getattr(held, '__qualname__', held)}"
    try:
        return ast.unparse(ast.parse(textwrap.dedent(inspect.getsource(held))))
    except (OSError, TypeError, SyntaxError):  # typed into an interpreter, built in, or a lambda
        code = getattr(held, "__code__", None)
        return name if code is None else repr(_instructions(code))


def _instructions(code: CodeType) -> tuple[Any, ...]:
    constants = [_instructions(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return code.co_code, code.co_names, constants
