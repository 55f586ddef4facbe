"""The densities of HpBandSter's model, computed for all coordinates of a point at once.

HpBandSter uses statsmodels, which makes about 20 calls for each coordinate of each point, and BOHB
evaluates 128 densities for each configuration. This module does the same arithmetic on whole
arrays. Its result equals that of statsmodels to the last bit, so BOHB makes the same picks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from statsmodels.nonparametric.kernel_density import KDEMultivariate

_NORM = 1.0 / np.sqrt(2 * np.pi)


class Density(KDEMultivariate):  # type: ignore[misc]
    """A product kernel estimate: Gaussian for numbers, Aitchison and Aitken's for choices."""

    _prepared_for: NDArray[Any] | None = None
    """The bandwidths for which `_prepare` has run; HpBandSter may replace them at any time."""

    def pdf(self, point: Sequence[float]) -> np.float64:
        """Return the density at a point.

        Args:
            point: One coordinate per variable, shape (d,): a number in [0, 1], or the index of a
                choice.
        """
        if self._prepared_for is not self.bw:
            self._prepare()
        at = np.asarray(point, dtype=float)
        kernels = np.empty(self.data.shape)
        kernels[:, self._numbers] = _NORM * np.exp(
            -((self._data - at[self._numbers]) ** 2) / self._scales
        )
        for column, inside, outside in self._choices:
            kernels[:, column] = np.where(self.data[:, column] == at[column], inside, outside)
        densities = kernels.prod(axis=1) / self._volume
        return np.float64(densities.sum(axis=0) / self.nobs)

    def _prepare(self) -> None:
        """Compute all that depends only on the bandwidths, which HpBandSter sets after the fit."""
        numbers = [i for i, kind in enumerate(self.var_type) if kind == "c"]
        choices = [i for i, kind in enumerate(self.var_type) if kind == "u"]
        self._numbers = numbers
        self._data = self.data[:, numbers]
        self._scales = np.array([self.bw[i] ** 2 * 2.0 for i in numbers])
        self._volume = np.prod(self.bw[numbers])
        self._choices = [
            (i, 1 - self.bw[i], self.bw[i] / (np.unique(self.data[:, i]).size - 1)) for i in choices
        ]
        self._prepared_for = self.bw
