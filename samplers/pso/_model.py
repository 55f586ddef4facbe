"""Where a Gaussian process would look next, and what it believes. Knows NumPy only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._archive import Archive, Taken
from ._cube import Array, Coding, Cube
from ._gp import GaussianProcess, Hyperparameters, fit, log_expected_improvement
from ._moves import put

_N_MODELLED = 150  # evaluations: a proposal costs no more when there are thousands
_N_FITTED = 80  # evaluations that the hyperparameters are fitted to
_LEAST = 3  # evaluations for a model
_REFIT = 1.2  # the hyperparameters are fitted anew when there are so many times as many evaluations
_NOISY = 0.02  # of the values' variance: from here on, a lucky value is no best

_N_NEAR, _N_ANYWHERE = 256, 256  # candidates beside the particle's moves
_LOG_RADII = math.log(0.01), math.log(0.3)  # of the candidates near good points
_N_CENTRES = 5  # good points
_SWITCH = 0.15  # how often a candidate has another choice than its centre
_REFINED = (0.1, 0.03, 0.01)  # radii of the rounds in which the best candidates are refined
_N_REFINED, _N_AROUND = 4, 16  # candidates that are, and how many are drawn around each


class Model(NamedTuple):
    """A Gaussian process of some evaluations.

    Attributes:
        process: Given the evaluations, and what is running.
        coding: How it sees points.
        numbers: Of the evaluations, ascending.
        places: Of the evaluations in the archive.
        mean: What it believes of them.
    """

    process: GaussianProcess
    coding: Coding
    numbers: NDArray[np.int64]
    places: NDArray[np.int64]
    mean: Array

    @property
    def beliefs(self) -> dict[int, float]:
        """What it believes, by number."""
        return dict(zip(self.numbers.tolist(), self.mean.tolist(), strict=True))


def is_noisy(hyperparameters: Hyperparameters) -> bool:
    """Say whether what was observed is not what would be observed again."""
    return hyperparameters.noise > _NOISY


class Modeller:
    """Models an archive. What is kept between two models saves time and changes nothing."""

    def __init__(self, cube: Cube) -> None:
        self._cube = cube
        self._fitted: tuple[bytes, Hyperparameters] | None = None

    def model(self, archive: Archive, running: Array) -> Model | None:
        """Model an archive; None while there is too little in it."""
        hyperparameters = self.fitted(archive, len(running))
        if hyperparameters is None:
            return None
        order = np.argsort(archive.numbers)
        places = order[_thinned(archive.values[order], _N_MODELLED)]
        points, running = archive.points[places], archive.canonical(running)
        coding = Coding(self._cube, np.concatenate([points, running]))
        process = GaussianProcess(
            coding(points), coding.owners, standardised(archive.values[places]), hyperparameters
        )
        mean = process.mean(coding(points))
        if len(running):
            process = process.believing(coding(running))
        return Model(process, coding, archive.numbers[places], places, mean)

    def fitted(self, archive: Archive, n_running: int) -> Hyperparameters | None:
        """Fit the hyperparameters; None while there is too little to fit them to.

        They are fitted to the first evaluations, by number. What is running may end later and be
        one of those, so as many evaluations as are running are waited for.
        """
        if np.isfinite(archive.values).sum() < _LEAST:
            return None
        # By number, so that the order in which they were told leaves no trace in the last digits.
        order = np.argsort(archive.numbers)
        return self._fit(archive, order[: _scheduled(len(archive) - n_running)])

    def _fit(self, archive: Archive, places: NDArray[np.int64]) -> Hyperparameters:
        key = archive.numbers[places].tobytes()
        if self._fitted is None or self._fitted[0] != key:
            places = places[_thinned(archive.values[places], _N_FITTED)]
            coding = Coding(self._cube, archive.points[places])
            values = standardised(archive.values[places])
            found = fit(coding(archive.points[places]), coding.owners, values)
            self._fitted = key, found
        return self._fitted[1]


def _scheduled(n: int) -> int:
    """Give the last of 3, 4, 5, 6, 8, 10, 12, ... that is at most n."""
    size = _LEAST
    while (after := max(size + 1, int(size * _REFIT))) <= n:
        size = after
    return size


def _thinned(values: Array, most: int) -> NDArray[np.int64]:
    """Choose evaluations for a model: half of them the best, the others evenly among the rest."""
    n = len(values)
    if n <= most:
        return np.arange(n)
    order = np.argsort(values, kind="stable")
    n_best = most // 2
    rest = np.sort(order[n_best:])
    evenly = rest[np.linspace(0, len(rest) - 1, most - n_best).astype(np.int64)]
    return np.sort(np.concatenate([order[:n_best], evenly]))


def standardised(values: Array) -> Array:
    """Give values of mean 0 and variance 1, those far above the median cut: bad is bad."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.zeros(len(values))
    with np.errstate(over="ignore"):
        low, median = float(finite.min()), float(np.median(finite))
        scale = max(median - low, np.finfo(float).tiny)
        cut = np.minimum(np.maximum((values - low) / scale, 0.0), 2.0)
    spread = float(np.std(cut))
    return (cut - np.mean(cut)) / spread if spread > 0 else np.zeros(len(values))


class Search:
    """The search for the point that promises the most, among moves and candidates near and far.

    Args:
        cube: What the coordinates stand for.
        archive: What has been evaluated.
        model: Of the archive.
        fixed: Coordinates that somebody else has chosen.
    """

    def __init__(
        self, cube: Cube, archive: Archive, model: Model, fixed: Mapping[int, float]
    ) -> None:
        self._cube, self._archive, self._model, self._fixed = cube, archive, model, fixed

    def best(self, rng: np.random.Generator, moves: Array, taken: Taken) -> Array:
        """Give the best point; one that is taken only if all are."""
        xs = np.concatenate([moves, self._candidates(rng)])
        promise = self._promise(xs)
        for radius in _REFINED:
            top = np.argsort(-promise, kind="stable")[:_N_REFINED]
            near = self._near(rng, np.repeat(xs[top], _N_AROUND, axis=0), radius)
            xs = np.concatenate([xs, near])
            promise = np.concatenate([promise, self._promise(near)])
        ranked = np.argsort(-promise, kind="stable")
        best: Array = xs[next((i for i in ranked if not taken(xs[i])), ranked[0])]
        return best

    def _promise(self, xs: Array) -> Array:
        model = self._model
        mean, deviation = model.process.predict(model.coding(self._archive.canonical(xs)))
        return log_expected_improvement(mean, deviation, float(model.mean.min()))

    def _candidates(self, rng: np.random.Generator) -> Array:
        model, d = self._model, len(self._cube)
        top = model.places[np.argsort(model.mean, kind="stable")[:_N_CENTRES]]
        ranks = np.minimum(rng.geometric(0.5, _N_NEAR) - 1, len(top) - 1)
        centres = self._archive.points[top[ranks]]
        # What a good point did not have tells nothing of where to look.
        masks = [self._archive.active(place) for place in top]
        lacking = np.array([np.zeros(d, bool) if mask is None else ~mask for mask in masks])
        centres = np.where(lacking[ranks], rng.random((_N_NEAR, d)), centres)
        radii = np.exp(rng.uniform(*_LOG_RADII, (_N_NEAR, 1)))
        anywhere = put(self._cube.draw(rng, _N_ANYWHERE), self._fixed)
        return np.concatenate([self._near(rng, centres, radii), anywhere])

    def _near(self, rng: np.random.Generator, centres: Array, radii: Array | float) -> Array:
        """Draw a point near each centre: some coordinates of it move, of every other one all."""
        cube, (n, d) = self._cube, centres.shape
        share = np.where(rng.random((n, 1)) < 0.5, 1.0, min(1.0, max(0.3, 3.0 / d)))
        moved = rng.random((n, d)) < share
        moved[np.arange(n), rng.integers(d, size=n)] = True
        x = np.abs(centres + np.where(moved, radii * rng.standard_normal((n, d)), 0.0))
        x = np.clip(np.where(x > 1, 2 - x, x), 0, 1)  # reflected at the walls
        switched = rng.random((n, d)) < _SWITCH
        choices = np.where(switched, rng.random((n, d)), centres)
        return put(cube.snap(np.where(cube.categorical, choices, x)), self._fixed)
