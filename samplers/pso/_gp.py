"""A Gaussian process for some hundred evaluations, and the expected improvement it promises.

Knows NumPy only, and keeps no state: what is fitted is a function of its arguments.

Sources: Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), from which the
equations are named by their numbers; Hvarfner, Hellsten and Nardi, "Vanilla Bayesian Optimization
Performs Great in High Dimensions" (2024) for a prior of the length scales that grows with the
dimension; Riedmiller and Braun, "A direct adaptive method for faster backpropagation learning: the
RPROP algorithm" (1993) for the ascent; Ament, Daulton, Eriksson, Balandat and Bakshy, "Unexpected
Improvements to Expected Improvement for Bayesian Optimization" (2023) for its logarithm.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_JITTER = 1e-7  # on the diagonal, in units of the values' variance: Cholesky's factors exist
_STEPS = 30  # of the ascent: more change no proposal that is worth it
_FIRST_STEP, _STEP_RANGE = 0.3, (1e-3, 1.0)
_FASTER, _SLOWER = 1.3, 0.5
_N_TERMS, _FROM = 30, 4.0  # of the continued fraction: 12 digits from 4 standard deviations on


class Hyperparameters(NamedTuple):
    """What is fitted: logarithms, so that any number is allowed.

    Attributes:
        log_lengths: One for each coordinate, shared by the columns that encode it.
        log_signal: Of the variance of the function.
        log_noise: Of the variance of an observation's error.
    """

    log_lengths: Array
    log_signal: float
    log_noise: float

    @property
    def noise(self) -> float:
        """The variance of an observation's error."""
        return math.exp(self.log_noise)


def fit(columns: Array, owners: NDArray[np.int64], values: Array) -> Hyperparameters:
    """Maximise the posterior density of the hyperparameters, from a start that is always the same.

    The length scales have the prior of Hvarfner et al., of median exp(sqrt 2) sqrt d, the variances
    log-normal ones. The start has short lengths and little noise. Where rough values have another
    explanation, long lengths and much noise, it may be the likelier one and is not found: a search
    that believes in the structure found more (by .1 to .2 in log10 regret on noisy problems).

    Args:
        columns: Encoded points, (n, columns).
        owners: For each column, the coordinate that it belongs to.
        values: Of mean 0 and variance 1, (n,).
    """
    d = int(owners.max()) + 1
    squares = np.zeros((d, len(values), len(values)))
    for column, j in enumerate(owners):
        squares[j] += np.subtract.outer(columns[:, column], columns[:, column]) ** 2
    centre = np.r_[np.full(d, math.sqrt(2) + 0.5 * math.log(d)), 0.0, -7.0]
    width = np.r_[np.full(d, math.sqrt(3)), 1.0, 2.0]
    low, high = np.r_[np.full(d, -4.0), -4.0, -14.0], np.r_[np.full(d, 7.0), 4.0, 1.0]
    theta = centre.copy()
    theta[:d] = math.log(0.5) + 0.25 * math.log(d)
    best, step, before = (math.inf, theta), np.full(d + 2, _FIRST_STEP), np.zeros(d + 2)
    for _ in range(_STEPS):
        loss, gradient = _evidence(theta, squares, values)
        off = (theta - centre) / width
        loss, gradient = loss + 0.5 * float(off @ off), gradient + off / width
        best = min(best, (loss, theta), key=lambda found: found[0])
        turned = gradient * before
        step = step * np.where(turned > 0, _FASTER, np.where(turned < 0, _SLOWER, 1.0))
        step = np.clip(step, *_STEP_RANGE)
        before = np.where(turned < 0, 0.0, gradient)
        theta = np.clip(theta - np.sign(before) * step, low, high)
    return Hyperparameters(best[1][:d], float(best[1][d]), float(best[1][d + 1]))


def _evidence(theta: Array, squares: Array, values: Array) -> tuple[float, Array]:
    """Give minus the log marginal likelihood and its gradient (equations 5.8 and 5.9)."""
    d, n = len(squares), len(values)
    inverse_squares, noise = np.exp(-2 * theta[:d]), math.exp(theta[d + 1])
    scaled, signal = np.tensordot(inverse_squares, squares, 1), math.exp(theta[d])
    kernel = _matern(scaled, signal)
    lower = np.linalg.cholesky(kernel + (noise + _JITTER) * np.eye(n))
    inverse = np.linalg.inv(lower)
    inverse = inverse.T @ inverse
    alpha = inverse @ values
    loss = 0.5 * float(values @ alpha) + float(np.log(np.diag(lower)).sum())
    outer = inverse - np.multiply.outer(alpha, alpha)
    gradient = np.empty(d + 2)
    gradient[:d] = (
        0.5 * (squares.reshape(d, -1) @ (outer * _slope(scaled, signal)).ravel()) * inverse_squares
    )
    gradient[d] = 0.5 * float(np.sum(outer * kernel))
    gradient[d + 1] = 0.5 * noise * float(np.trace(outer))
    return loss, gradient


def _matern(squares: Array, signal: float) -> Array:
    """Give Matern's covariance with nu = 5/2 (equation 4.17)."""
    r = np.sqrt(5 * squares)
    covariance: Array = (1 + r + 5 / 3 * squares) * (signal * np.exp(-r))
    return covariance


def _slope(squares: Array, signal: float) -> Array:
    """Give -2 dk / d(squares) of Matern's covariance.

    Times the part of `squares` that one coordinate has, it is the derivative by the logarithm of
    that coordinate's length scale.
    """
    r = np.sqrt(5 * squares)
    slope: Array = 5 / 3 * (1 + r) * (signal * np.exp(-r))
    return slope


class GaussianProcess:
    """A Gaussian process of mean 0, given what was observed (algorithm 2.1).

    Args:
        columns: Encoded points, (n, columns).
        owners: For each column, the coordinate that it belongs to.
        values: Of mean 0 and variance 1, (n,).
        hyperparameters: Those that `fit` gave, of these points or some of them.
    """

    def __init__(
        self,
        columns: Array,
        owners: NDArray[np.int64],
        values: Array,
        hyperparameters: Hyperparameters,
    ) -> None:
        self._columns, self._owners, self._values = columns, owners, values
        self.hyperparameters = hyperparameters
        self._scales = np.exp(-hyperparameters.log_lengths[owners])
        self._signal = math.exp(hyperparameters.log_signal)
        self._points = columns * self._scales
        self._norms = np.sum(self._points**2, axis=1)
        kernel = self._covariance(columns)
        noise = hyperparameters.noise + _JITTER
        # The inverse of Cholesky's factor: NumPy cannot solve with a triangle.
        self._root = np.linalg.inv(np.linalg.cholesky(kernel + noise * np.eye(len(values))))
        self._alpha = self._root.T @ (self._root @ values)

    def _covariance(self, columns: Array) -> Array:
        at = columns * self._scales
        squares = np.sum(at**2, axis=1)[:, None] + self._norms - 2 * at @ self._points.T
        return _matern(np.maximum(squares, 0.0), self._signal)

    def mean(self, columns: Array) -> Array:
        """Give the mean of the function at points (equation 2.25)."""
        mean: Array = self._covariance(columns) @ self._alpha
        return mean

    def predict(self, columns: Array) -> tuple[Array, Array]:
        """Give mean and standard deviation of the function at points (equations 2.25 and 2.26)."""
        covariance = self._covariance(columns)
        explained = np.sum((covariance @ self._root.T) ** 2, axis=1)
        deviation = np.sqrt(np.maximum(self._signal - explained, 1e-10))
        return covariance @ self._alpha, deviation

    def believing(self, columns: Array) -> GaussianProcess:
        """Give the process as if more points had come out at its mean (the Kriging believer)."""
        return GaussianProcess(
            np.concatenate([self._columns, columns]),
            self._owners,
            np.concatenate([self._values, self.mean(columns)]),
            self.hyperparameters,
        )


def log_expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """Give log E max(best - f, 0) for normally distributed f (Ament et al. 2023, section 4.1)."""
    found: Array = _log_h((best - mean) / deviation) + np.log(deviation)
    return found


def _log_h(z: Array) -> Array:
    """Give log(phi(z) + z Phi(z)), also where both terms vanish.

    Far below, phi(z) + z Phi(z) = phi(z) (1 - t R(t)) with t = -z and Mills' ratio R(t), for which
    Laplace's continued fraction is 1 / (t + 1 / (t + 2 / (t + 3 / ...))). With 1 / (t + rest) for R
    that is phi(z) rest / (t + rest), in which nothing cancels.
    """
    log_density = -0.5 * z * z - 0.5 * math.log(2 * math.pi)
    near = np.maximum(z, -_FROM)
    below = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in near.tolist()])
    t = np.maximum(-z, _FROM)
    rest = np.zeros_like(t)
    for k in range(_N_TERMS, 0, -1):
        rest = k / (t + rest)
    far = log_density + np.log(rest / (t + rest))
    direct = np.exp(-0.5 * near * near - 0.5 * math.log(2 * math.pi)) + near * below
    found: Array = np.where(z > -_FROM, np.log(direct), far)
    return found
