"""The densities of HpBandSter's model, evaluated at one point at a time without detours.

statsmodels, which HpBandSter takes, goes through some twenty calls for each point and each of its
coordinates, and a model is asked for 128 densities for every configuration. Here the same
arithmetic is done for all coordinates at once: the result is the same to the last bit, and so is
what is picked.
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

    def pdf(self, point: Sequence[float]) -> np.float64:
        """Evaluate the density.

        Args:
            point: A coordinate for each variable.
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
        """Work out what depends on the bandwidths alone, which HpBandSter sets after the fit."""
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
