"""Values for people, written the same wherever they are shown."""

NOTHING = "–"


def number(value: float | None) -> str:
    """A value of the objective, or a difference of two."""
    if value is None:
        return NOTHING
    # Four decimals are right for accuracies, and would hide a loss of 0.0001.
    return f"{value:.4f}" if 0.1 <= abs(value) < 1e3 else f"{value:.3g}"
