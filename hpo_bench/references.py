"""Objects that are at hand and cannot be imported: what a notebook or a script itself defines."""

from __future__ import annotations

import ast
import hashlib
import inspect
import pickle
import textwrap
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
        return bytes(cloudpickle.dumps(held))
    except Exception as error:  # whatever an object does when it is pickled
        raise HpoBenchError(
            f"{path} cannot be sent to worker processes: {reason_of(error)}. Use workers=0, which "
            "evaluates in this process, or put it into a module that can be imported"
        ) from error


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
