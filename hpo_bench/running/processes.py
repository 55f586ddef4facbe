"""Processes of our own at the end of a pipe: how they start, speak, and end with their parent."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from types import ModuleType
from typing import Any, TypeVar

import optuna

SIGNALS = (signal.SIGINT, signal.SIGTERM)

THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
"""Set before a process imports torch. Several OpenMP teams that spin while they wait slow each
other down many times over as soon as there are more threads than idle cores."""

_context = get_context("spawn")

Tell = Callable[[str, Any], None]
"""Sends a kind of message and its content to the parent; safe to call from any thread."""


class Child:
    """A process, and our end of the pipe to it."""

    def __init__(self, target: Callable[..., None], name: str, *arguments: Any) -> None:
        """Start `target(connection, *arguments)` in a fresh interpreter."""
        self.connection, theirs = _context.Pipe()
        self.process = _context.Process(target=target, args=(theirs, *arguments), name=name)
        with _held_back_signals(), _without_main():
            self.process.start()
        theirs.close()

    def send(self, message: Any) -> None:
        """Send; to a process that is dead already, which is noticed elsewhere, in vain."""
        with suppress(OSError):
            self.connection.send(message)

    def receive(self) -> Any:
        """Take the next message; what a dead process said last comes before its end.

        Raises:
            EOFError: The process is dead, or has closed its end.
        """
        try:
            if self.connection.poll():
                return self.connection.recv()
        except OSError as error:
            raise EOFError from error
        raise EOFError

    def kill(self) -> None:
        """End it now, if it still lives."""
        if self.process.is_alive():
            self.process.kill()
        self.process.join()


_Kind = TypeVar("_Kind", bound=Child)


def speaking(children: Sequence[_Kind], timeout: float) -> list[_Kind]:
    """Wait until some have something to say or have ended, or for some seconds."""
    # A process's end is watched beside its connection, which a process of its own may hold.
    watched = [o for child in children for o in (child.connection, child.process.sentinel)]
    ready = wait(watched, timeout)
    return [c for c in children if c.connection in ready or c.process.sentinel in ready]


def settle_in(connection: Connection[Any, Any]) -> Tell:
    """Do what every child does first; give what it speaks to its parent with."""
    # A terminal's Ctrl-C reaches every process of its group: the coordinator alone decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _stay_when_terminated()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    lock = threading.Lock()  # a library's thread may log while the work reports

    def tell(kind: str, content: Any) -> None:
        with lock:
            connection.send((kind, content))

    _log_to(tell)
    return tell


@contextmanager
def staying_here() -> Iterator[None]:
    """Come back to this working directory, wherever an objective goes inside.

    What is relative in a suite is meant from where the command was started.
    """
    here = os.open(".", os.O_RDONLY)  # holds also where the directory is renamed meanwhile
    try:
        yield
    finally:
        os.fchdir(here)
        os.close(here)


class EndingCopies:
    """Call code inside that may fork, and end the copy of this process that comes back from it.

    The copy has the lease, the connections and the pipe of the original, which goes on by itself:
    whatever the copy did with them, a result as well as a clean-up, would be done twice.
    """

    def __enter__(self) -> None:
        self._original = os.getpid()

    def __exit__(self, _kind: object, raised: BaseException | None, _traceback: object) -> None:
        if os.getpid() != self._original:
            _end_copy(raised)


def _end_copy(raised: BaseException | None) -> None:
    if isinstance(raised, SystemExit) and (raised.code is None or isinstance(raised.code, int)):
        os._exit(raised.code or 0)  # what the objective, its parent, may wait for
    # The logs go through a pipe that is the original's: this one has the standard error alone.
    os.write(
        2,
        b"the objective forked, and its child came back from the objective as if it were the "
        b"parent; the child ends here (a child should end by os._exit)\n",
    )
    os._exit(1)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let processes started inside compute with one thread, unless the user says otherwise."""
    added = {name: value for name, value in THREADS.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def _without_main() -> Iterator[None]:
    """Let a process start without the main module of this one.

    It needs nothing of it: what a script defines is sent by value. A script that compares at its
    top level would otherwise begin again in every process.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _held_back_signals() -> Iterator[None]:
    """Let a process that starts inherit deafness; what arrives meanwhile is heard afterwards."""
    # Starting multiprocessing's own helper process would lift the block.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stay_when_terminated() -> None:
    """Be deaf to SIGTERM, and let what is started from here hear it.

    A signal that is ignored stays so in every program that an objective starts, and in every
    worker of its pools: none of them could be terminated. A handler is lost when a program
    starts; only a fork keeps it.
    """

    def stay(*_: object) -> None:
        pass

    held = threading.local()

    def hold() -> None:
        held.mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])

    def let_go() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, held.mask)

    def hear_again() -> None:
        if signal.getsignal(signal.SIGTERM) is stay:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        let_go()

    signal.signal(signal.SIGTERM, stay)
    signal.siginterrupt(signal.SIGTERM, False)  # a library's calls are to go on, too
    # Held back, a signal that comes at once finds the fork as it is to be.
    os.register_at_fork(before=hold, after_in_parent=let_go, after_in_child=hear_again)


def _die_with_parent() -> None:
    # An orphan must not go on writing: whoever resumes the run would work beside it.
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _log_to(tell: Tell) -> None:
    """Send warnings upwards: the coordinator alone writes to the terminal."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                text = self.format(record)
            except Exception:  # of whatever an objective logs: it is told on the standard error
                self.handleError(record)
            else:
                tell("notice", text)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.logging.disable_default_handler()
    optuna.logging.enable_propagation()
    logging.captureWarnings(True)
    logging.getLogger().addHandler(Handler(level=logging.WARNING))
