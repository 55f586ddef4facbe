"""Format values for people, in the same way everywhere."""

NOTHING = "–"
"""Text that stands for a value that does not exist."""


def number(value: float | None) -> str:
    """Return a value of an objective, or a difference of two values, as text.

    It has four decimals from 0.1 to below 1,000, and three significant digits otherwise.
    """
    if value is None:
        return NOTHING
    # Four decimals suit accuracies, but would show the losses 5.3e-05 and 1.2e-04 as 0.0001.
    return f"{value:.4f}" if 0.1 <= abs(value) < 1e3 else f"{value:.3g}"
