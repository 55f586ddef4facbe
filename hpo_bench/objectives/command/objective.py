"""A program that prints a value per step, as an objective."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optuna.study import StudyDirection

from hpo_bench.errors import InputError, one_of
from hpo_bench.objectives.base import Evaluation, Objective
from hpo_bench.objectives.command.output import STEP, Format
from hpo_bench.objectives.command.program import Program, find
from hpo_bench.objectives.command.training import Files, Training
from hpo_bench.objectives.command.words import FIELD, fill, names_in, split
from hpo_bench.spaces import Configuration, Space, declared

CONFIG = "HPO_BENCH_CONFIG"
CHECKPOINT_DIR = "HPO_BENCH_CHECKPOINT_DIR"
SEED = "HPO_BENCH_SEED"
STEPS = "HPO_BENCH_STEPS"
MAX_STEPS = "HPO_BENCH_MAX_STEPS"

_LARGEST_SCRIPT = 2**20
"""Bytes of a file whose digest is recorded: scripts are smaller, data are not."""


class Command(Objective):
    r"""A program in any language; it is started without a shell, and read while it runs.

    It gets its parameters by `{name}` in its arguments, and all of them by the JSON file that
    `HPO_BENCH_CONFIG` names. `{seed}`, `{steps}` (how far to go now), `{max_steps}`, `{config}` and
    `{checkpoint_dir}` stand for what the variables HPO_BENCH_SEED, HPO_BENCH_STEPS,
    HPO_BENCH_MAX_STEPS, HPO_BENCH_CONFIG and HPO_BENCH_CHECKPOINT_DIR hold.

    It prints `hpo-bench: step=1 value=0.5` for every step, in order; further `key=number` are
    measurements. A program with one step may print a JSON object as its last line instead.
    """

    def __init__(
        self,
        command: str,
        *,
        space: Mapping[str, Any] | str | None = None,
        seed: int = 0,
        direction: str = "minimize",
        steps: int = 1,
        metric_name: str = "value",
        fidelity_name: str = "steps",
        pattern: str | None = None,
    ) -> None:
        r"""Check the settings; nothing is started.

        Args:
            command: The program and its arguments, as one text.
            space: Name -> fixed value or range; every parameter that the program gets.
            seed: For the program, which may use it: the run's.
            direction: `minimize` or `maximize`.
            steps: How many steps a full training has, 1 or more.
            metric_name: What the value is called in tables, and in the lines that are printed.
            fidelity_name: What a step is, in the plural. With `epochs` the names are `{epochs}` and
                `{max_epochs}`.
            pattern: A regular expression for lines that are not marked by `hpo-bench:`, with a
                group `value` (`accuracy: (?P<value>\S+)`) and perhaps a group `step`.

        Raises:
            InputError: A setting cannot be used, or the program is not there.
        """
        self.words = split(command)
        """The program and its arguments, with `{name}` where a value is put."""
        if direction not in ("minimize", "maximize"):
            expected = "expected minimize or maximize"
            raise InputError("direction", direction, expected)
        if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
            raise InputError("steps", steps, "expected a whole number, 1 or more")
        self.metric_name = _checked("metric_name", metric_name, _METRIC)
        """Name of the value in tables and in the lines that the program prints."""
        self.fidelity_name = _checked("fidelity_name", fidelity_name, _WORD)
        """Name of a step, in the plural."""
        self.max_fidelity = steps
        """Steps of a full training, 1 or more."""
        self.format = Format(metric_name, pattern)
        """How values are read from what the program prints."""
        self._direction = StudyDirection[direction.upper()]
        self._space, self._fixed = declared(space)
        self._seed = seed
        # An objective of the same process may change the working directory later.
        self.directory = Path.cwd()
        """The directory in which the program is started."""
        self._check_names(command)
        if find(self.words[0]) is None:
            expected = "there is no such program on PATH, or it may not be executed"
            raise InputError(FIELD, self.words[0], expected)

    @property
    def search_space(self) -> Space:
        """The suite's, without the fixed values."""
        return dict(self._space)

    @property
    def directions(self) -> list[StudyDirection]:
        """As it was given."""
        return [self._direction]

    def start(self, configuration: Configuration) -> Evaluation:
        """Take a configuration; the program is started by `begin`, or by the first step."""
        return Training(self, {**self._fixed, **configuration})

    def restore(self, configuration: Configuration, checkpoint: bytes) -> Evaluation:
        """Go on with what the program has left in its directory."""
        return Training(self, {**self._fixed, **configuration}, **json.loads(checkpoint))

    def describe(self) -> Mapping[str, Any]:
        """Tell the fixed values."""
        return {"fixed": self._fixed}

    def machine(self) -> Mapping[str, Any]:
        """Tell which files the command names, by their SHA-256: what the script was."""
        files = [word for word in self.words if self._is_script(word)]
        return {"scripts": {word: _digest(self.directory / word) for word in files}}

    def run(self, configuration: Configuration, until: int, files: Files) -> Program:
        """Start the program.

        Args:
            configuration: Name -> value, fixed ones included.
            until: The step to reach now.
            files: Where it finds its configuration, prints, and keeps its state.

        Raises:
            OSError: It cannot be started.
            ValueError: An argument holds a NUL.
            StillRunningError: One that was started earlier has not ended.
        """
        own = self._own(until, files)
        words = [fill(word, {**configuration, **own}) for word in self.words]
        names = (SEED, STEPS, MAX_STEPS, CONFIG, CHECKPOINT_DIR)
        variables = {name: str(value) for name, value in zip(names, own.values(), strict=True)}
        return Program(words, files.output, variables, self.directory)

    def _own(self, until: int, files: Files) -> dict[str, Any]:
        return {
            "seed": self._seed,
            self.fidelity_name: until,
            f"max_{self.fidelity_name}": self.max_fidelity,
            "config": str(files.config),
            "checkpoint_dir": str(files.checkpoint),
        }

    def _check_names(self, command: str) -> None:
        parameters = {*self._space, *self._fixed}
        own = self._own(1, Files(Path())).keys()
        for name in parameters & own:
            expected = f"{{{name}}} has a meaning of its own in a command; take another name"
            raise InputError("space", name, expected)
        for name in (name for word in self.words for name in names_in(word)):
            if name not in parameters | own:
                expected = (
                    f"{{{name}}} is no parameter of [space]; {one_of(name, parameters | own)}"
                )
                raise InputError(FIELD, command, expected)

    def _is_script(self, word: str) -> bool:
        path = self.directory / word
        try:
            return path.is_file() and path.stat().st_size <= _LARGEST_SCRIPT
        except OSError:  # a word may be longer than a name can be
            return False


_WORD = re.compile(r"[A-Za-z]\w*")
_METRIC = re.compile(r"[^\s=]+")


def _checked(field: str, name: object, allowed: re.Pattern[str]) -> str:
    if isinstance(name, str) and allowed.fullmatch(name) and name != STEP:
        return name
    raise InputError(field, name, f"expected a word, other than {STEP!r}: loss, epochs")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
