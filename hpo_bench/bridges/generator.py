"""HpBandSter's BOHB configuration generator, made reproducible, isolated and never silent.

The generator (Falkner, Klein and Hutter 2018, "BOHB: Robust and Efficient Hyperparameter
Optimization at Scale", section 3.2 and algorithm 2) is HpBandSter's own class. It draws from
NumPy's global random generator and turns every error into a random configuration, so it lives
here in a private copy of its module whose `np.random` is ours, under a logger that listens. Its
densities are computed by `density`; the tests compare its picks with the untouched module's.
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
"""How HpBandSter's messages begin when a random configuration takes the model's place."""

_log = logging.getLogger(__name__)


class Generator:
    """Draws configurations from HpBandSter's model and tells it the results.

    A draw depends on the results told so far, the seed and the draw's key, not on earlier draws:
    a search that is rebuilt need not repeat them.
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
            key: What tells this draw from all others; non-negative numbers.

        Returns:
            The centred point, and how it was picked: "model"; "random", by the random fraction
            or because there is no model yet; "fallback", random because the model failed.

        Raises:
            HpoBenchError: The model failed, in strict mode.
        """
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
        """Tell the result of an evaluation; a failed one counts as the worst of all."""
        self._untold.append(job)

    def _fit(self) -> None:
        """Tell the model all that has come in since the last draw, fitting once per budget.

        Fitting at every result gives the same model, and makes the replay of a long run quadratic.
        """
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
    """Silence what old HpBandSter makes current libraries say.

    statsmodels divides by zero where a category is absent from a model's data; HpBandSter uses
    names that ConfigSpace has deprecated, and string escapes that Python 3.12 warns of.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


class _Listener:
    """Stands in for HpBandSter's logger: nowhere else does it say that a model failed."""

    fallback: str | None = None

    def debug(self, message: str, *args: object) -> None:
        if self.fallback is None and message.startswith(_FALLBACKS):
            self.fallback = _cause(message % args if args else message)

    info = warning = error = debug


def _cause(message: str) -> str:
    """What a message comes down to: the last line of the traceback in it, if there is one."""
    lines = [line.strip() for line in message.splitlines()]
    return next(line for line in reversed(lines) if line not in ("", "Using random configuration"))


def _private_module(random: np.random.RandomState) -> Any:
    """Load HpBandSter's generator once more, beside `sys.modules`, to draw from `random`.

    Swapping NumPy's global state around each call instead would race with other threads.
    """
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
    """Fill gaps in configurations: in a space without conditions there are none."""
    assert not np.isnan(array).any()
    return array.copy()


class _NumPy(ModuleType):
    """NumPy with another `random`."""

    def __init__(self, random: np.random.RandomState) -> None:
        super().__init__("numpy")
        self.random = random

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


class _TruncatedNormal:
    """`scipy.stats.truncnorm.rvs` without its argument handling, which costs more than the draw.

    The same inversion of the cumulative distribution, for an interval that holds its centre.
    """

    def __init__(self, random: np.random.RandomState) -> None:
        self._random = random

    def rvs(self, a: float, b: float, loc: float, scale: float) -> float:
        below, above = ndtr(a), ndtr(b)
        share = below + self._random.random_sample() * (above - below)
        return float(loc + scale * min(max(ndtri(share), a), b))
