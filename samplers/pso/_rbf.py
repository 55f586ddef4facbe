"""Radial basis functions through the ranks of what was evaluated (after Regis 2014).

Knows NumPy only.
"""

from __future__ import annotations

import numpy as np

from ._cube import Array


def ranks(values: Array) -> Array:
    """Give ranks in [0, 1]: what a model sees is not bent by the scale of the values."""
    return np.searchsorted(np.sort(values), values) / max(len(values) - 1, 1)


def predict(points: Array, values: Array, at: Array) -> Array:
    """Interpolate by a cubic radial basis function with a linear tail."""
    n, d = points.shape
    tail = np.concatenate([np.ones((n, 1)), points], axis=1)
    system = np.zeros((n + d + 1, n + d + 1))
    system[:n, :n] = distances(points, points) ** 3 + 1e-9 * np.eye(n)
    system[:n, n:], system[n:, :n] = tail, tail.T
    # A trace of regularity keeps the system solvable where points lie in a plane.
    system[n:, n:] = -1e-9 * np.eye(d + 1)
    weights = np.linalg.solve(system, np.concatenate([values, np.zeros(d + 1)]))
    tail_at = np.concatenate([np.ones((len(at), 1)), at], axis=1)
    predicted: Array = distances(at, points) ** 3 @ weights[:n] + tail_at @ weights[n:]
    return predicted


def distances(a: Array, b: Array) -> Array:
    apart: Array = np.sqrt(np.sum((a[:, None, :] - b[None, :, :]) ** 2, axis=2))
    return apart
