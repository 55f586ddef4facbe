"""HpBandSter's BOHB configuration generator, made reproducible and isolated, with visible errors.

The generator (Falkner, Klein and Hutter 2018, "BOHB: Robust and Efficient Hyperparameter
Optimization at Scale", section 3.2 and algorithm 2) is HpBandSter's own class. That class draws
from NumPy's global random generator, and replaces a failed model by a random configuration with
only a log message. This module therefore loads a private copy of HpBandSter's module, gives it a
random generator of its own, and reads its log messages. `density` computes the densities. Tests
compare the picks with those of the original module.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from hpbandster.core.dispatcher import Job
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from hpo_bench.bridges.density import Density
from hpo_bench.bridges.options import ModelOptions
from hpo_bench.bridges.unit_cube import Point, config_space, decode, encode
from hpo_bench.errors import HpoBenchError
from hpo_bench.spaces import Space

_MODULE = "hpbandster.optimizers.config_generators.bohb"
_FALLBACKS = ("Sampling based optimization with", "Error (")
"""Beginnings of HpBandSter's log messages when a random configuration replaces the model's."""

_log = logging.getLogger(__name__)


class Generator:
    """Draws configurations from HpBandSter's model, and tells it results.

    A draw depends on the results told so far, the seed and the draw's key, but not on earlier
    draws. A rebuilt search therefore need not repeat earlier draws.

    Args:
        space: The search space.
        options: The options of the model.
        seed: Seed of all draws.
        strict: Raise an error if the model fails, instead of a warning.
    """

    def __init__(self, space: Space, options: ModelOptions, seed: int, *, strict: bool) -> None:
        self._space = space
        self._seed = seed
        self._strict = strict
        self._random = np.random.RandomState()
        self._untold: list[Job] = []
        self._listener = _Listener()
        self.cube = config_space(space)
        with quiet():
            self._model = _private_module(self._random).BOHB(
                self.cube, logger=self._listener, **asdict(options)
            )

    def draw(self, key: tuple[int, ...]) -> tuple[Point, str]:
        """Draw a configuration.

        Args:
            key: Identifies this draw; non-negative integers.

        Returns:
            The centred point, and the origin of the pick: "model"; "random", because of the random
            fraction or because there is no model yet; "fallback", because the model failed.

        Raises:
            HpoBenchError: The model failed, in strict mode.
        """
        # HpBandSter draws from NumPy's generator, and ConfigSpace from one of its own.
        words = np.random.SeedSequence((self._seed, *key)).generate_state(5)
        self._random.seed(words[:4])
        self.cube.seed(int(words[4]))
        self._listener.fallback = None
        with quiet():
            self._fit()
            drawn, info = self._model.get_config(budget=None)
        pick = "model" if info["model_based_pick"] else "random"
        if self._listener.fallback is not None:
            pick = "fallback"
            self._report(self._listener.fallback)
        return encode(self._space, decode(self._space, drawn)), pick

    def learn(self, job: Job) -> None:
        """Tell the result of an evaluation; a failed one counts as worse than all others."""
        self._untold.append(job)

    def _fit(self) -> None:
        """Tell the model all results since the last draw, and fit it once per budget."""
        # HpBandSter fits at every result. That gives the same model, but a resumed run replays all
        # its results, and the time would grow with their square.
        latest = {job.kwargs["budget"]: job for job in self._untold}
        for job in self._untold:
            self._model.new_result(job, update_model=job is latest[job.kwargs["budget"]])
        self._untold.clear()

    def _report(self, reason: str) -> None:
        text = f"BOHB's model failed, a random configuration takes its place: {reason}"
        if self._strict:
            raise HpoBenchError(text)
        _log.warning(text)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the warnings of current libraries about HpBandSter.

    HpBandSter uses deprecated names of ConfigSpace, and string escapes about which Python 3.12
    warns. Its densities divide by zero if the data of a model lack a category.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


class _Listener:
    """A logger for HpBandSter that keeps its report of a failed model, which exists only as log."""

    fallback: str | None = None
    """Reason of the first failure since this was set to None; None without a failure."""

    def debug(self, message: str, *args: object) -> None:
        if self.fallback is None and message.startswith(_FALLBACKS):
            self.fallback = _cause(message % args if args else message)

    info = warning = error = debug


def _cause(message: str) -> str:
    """Return the cause in a log message: its last line, which is the error of a traceback."""
    lines = [line.strip() for line in message.splitlines()]
    return next(line for line in reversed(lines) if line not in ("", "Using random configuration"))


def _private_module(random: np.random.RandomState) -> Any:
    """Load a copy of HpBandSter's generator that draws from `random`, outside of `sys.modules`."""
    # The alternative, to swap NumPy's global state around each call, would race with other threads.
    spec = importlib.util.find_spec(_MODULE)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.np = _NumPy(random)
    module.sps = SimpleNamespace(truncnorm=_TruncatedNormal(random))
    module.sm = SimpleNamespace(nonparametric=SimpleNamespace(KDEMultivariate=Density))
    module.BOHB.impute_conditional_data = _without_conditions
    return module


def _without_conditions(_model: Any, array: NDArray[Any]) -> NDArray[Any]:
    """Replace HpBandSter's search for gaps: a space without conditions has no gaps."""
    assert not np.isnan(array).any()
    return array.copy()


class _NumPy(ModuleType):
    """The NumPy module with another attribute `random`."""

    def __init__(self, random: np.random.RandomState) -> None:
        super().__init__("numpy")
        self.random = random

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


class _TruncatedNormal:
    """`scipy.stats.truncnorm.rvs` without its argument handling, which takes longer than the draw.

    It inverts the cumulative distribution, as SciPy does. The interval must contain the centre.
    """

    def __init__(self, random: np.random.RandomState) -> None:
        self._random = random

    def rvs(self, a: float, b: float, loc: float, scale: float) -> float:
        """Draw a number in [loc + a * scale, loc + b * scale]; `a` <= 0 <= `b`."""
        below, above = ndtr(a), ndtr(b)
        share = below + self._random.random_sample() * (above - below)
        return float(loc + scale * min(max(ndtri(share), a), b))
