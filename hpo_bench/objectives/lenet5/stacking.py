"""Which networks share a stack: padding weighed against launches.

A stack pads its networks to common widths and to a common batch, and a step of it takes about as
many launches as a step of one network. Few stacks compute much padding, and many stacks launch
much. The networks are grouped so that the estimated time of an epoch is least.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hpo_bench.objectives.lenet5.model import KERNEL, MAP
from hpo_bench.spaces import Configuration

WIDTHS = ("c1", "c3", "c5", "f6")

# About a hundred launches of 2 us in a captured graph, and 20 TFLOP/s in products of small
# matrices: an estimate for a data centre's card of 2024, not a measurement.
_STEP = 1e10
"""Operations that take as long as the launches of a step."""
_OWN_IMAGES = 2e6
"""Operations that take as long as cutting an image into patches for one network alone."""
LARGEST = 2**30
"""Most elements of a tensor, unless one network needs more: half a GB in bfloat16.

The limit of 2**31, beyond which many kernels of CUDA cannot count, is far away.
"""

SIDE_1, SIDE_3 = 28, 10
"""Of C1's and C3's maps before pooling."""


@dataclass(frozen=True)
class _Groups:
    """Groups of networks, a row each; a group of several has the largest or least of them."""

    size: npt.NDArray[np.float64]
    widths: npt.NDArray[np.float64]
    """(groups, 4), padded."""
    batch: npt.NDArray[np.float64]
    """The largest."""
    least_batch: npt.NDArray[np.float64]
    kinds: npt.NDArray[np.int64]
    """A bit for each augmentation."""

    def with_one(self, i: int) -> _Groups:
        """Merge every group with the i-th."""
        return _Groups(
            self.size + self.size[i],
            np.maximum(self.widths, self.widths[i]),
            np.maximum(self.batch, self.batch[i]),
            np.minimum(self.least_batch, self.least_batch[i]),
            self.kinds | self.kinds[i],
        )

    def take(self, rows: npt.NDArray[np.int64]) -> _Groups:
        """Give some of them."""
        return _Groups(*(column[rows] for column in vars(self).values()))

    def replaced(self, i: int, other: _Groups, j: int) -> None:
        """Put the j-th of other groups in the place of the i-th."""
        for column, new in zip(vars(self).values(), vars(other).values(), strict=True):
            column[i] = new[j]

    def costs(self) -> npt.NDArray[np.float64]:
        """Estimate the time of an epoch, an image of it, in operations."""
        has_own = (self.batch > self.least_batch) | ((self.kinds & (self.kinds - 1)) > 0)
        each = _operations(self.widths) + _OWN_IMAGES * has_own
        work = self.size * self.batch * each
        cost: npt.NDArray[np.float64] = (_STEP + work) / self.least_batch
        elements = self.size * self.batch * patches(self.widths[:, 0])
        cost[(elements > LARGEST) & (self.size > 1)] = np.inf
        return cost


def padded(width: int) -> int:
    """Round a width up to a multiple of eight, as products in bfloat16 want it."""
    return -(-width // 8) * 8


def patches(c1: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Count the elements of the largest tensor of a network and an image: what C3 multiplies.

    Or C1, where that is narrow.
    """
    read_by_c1 = SIDE_1**2 * KERNEL**2 * 3
    return np.maximum(SIDE_3**2 * KERNEL**2 * c1, read_by_c1)


def stacks(configurations: Sequence[Configuration]) -> list[list[int]]:
    """Group networks that may share a stack into stacks.

    Each begins as a stack of its own. As long as it saves time, the two are merged that save most.

    Args:
        configurations: `c1`, `c3`, `c5`, `f6`, `batch_size` and `augmentation` are read.

    Returns:
        Indices of the members of each stack, in order.
    """
    groups = _groups(configurations)
    members = [[i] for i in range(len(configurations))]
    gains = np.array([_gains(groups, i) for i in range(len(members))])
    while len(members) > 1:
        i, j = sorted(int(k) for k in np.unravel_index(gains.argmax(), gains.shape))
        if gains[i, j] <= 0:
            break
        groups.replaced(i, groups.with_one(i), j)
        members[i] += members.pop(j)
        rest = np.delete(np.arange(len(gains)), j)
        groups, gains = groups.take(rest), gains[np.ix_(rest, rest)]
        gains[i] = gains[:, i] = _gains(groups, i)
    return [sorted(group) for group in members]


def _gains(groups: _Groups, i: int) -> npt.NDArray[np.float64]:
    """Say how much time it saves to merge each group with the i-th."""
    costs = groups.costs()
    gains: npt.NDArray[np.float64] = costs + costs[i] - groups.with_one(i).costs()
    gains[i] = -np.inf
    return gains


def _groups(configurations: Sequence[Configuration]) -> _Groups:
    widths = [[padded(int(c[name])) for name in WIDTHS] for c in configurations]
    batch = np.array([float(c["batch_size"]) for c in configurations])
    kinds = sorted({str(c["augmentation"]) for c in configurations})
    bits = [1 << kinds.index(str(c["augmentation"])) for c in configurations]
    return _Groups(
        np.ones(len(batch)), np.array(widths, float), batch, batch.copy(), np.array(bits)
    )


def _operations(widths: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Count what training on an image takes: forwards, and twice that backwards but for C1."""
    c1, c3, c5, f6 = widths.T
    patch = KERNEL**2
    first = 2 * SIDE_1**2 * patch * 3 * c1
    rest = 2 * (SIDE_3**2 * patch * c1 * c3 + MAP**2 * c3 * c5 + c5 * f6)
    operations: npt.NDArray[np.float64] = 2 * first + 3 * rest
    return operations
