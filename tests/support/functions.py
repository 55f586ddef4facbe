"""Functions of Optuna's, as people have them."""

import optuna


def conditional(trial):
    """Two branches, of which one reports and may be pruned."""
    kind = trial.suggest_categorical("kind", ["flat", "steep"])
    if kind == "flat":
        return trial.suggest_float("width", 1e-3, 1.0, log=True)
    depth = trial.suggest_int("depth", 1, 4)
    trial.set_user_attr("epochs", depth)
    trial.set_user_attr("layers", {"count": depth})
    for step in range(0, 90, 10):
        trial.report(1.0 / (step + depth), step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return 1.0 / (90 + depth)


def unruly(trial):
    """Whatever can go wrong, in turn."""
    x = trial.suggest_int("x", 0, 5)
    if x == 0:
        return None
    if x == 1:
        return float("nan")
    if x == 2:
        raise optuna.TrialPruned
    if x == 3:
        return trial.suggest_float("x", 0.0, 1.0)
    if x == 4:
        trial.set_constraint("c", 1.0)
    try:
        trial.report(0.5, 0)
    except Exception:
        trial.report(0.1, 1)
    return 0.5


def smooth(trial):
    """Nine reports that fall towards a bowl."""
    x, y = trial.suggest_float("x", -4.0, 4.0), trial.suggest_float("y", -4.0, 4.0)
    value = float("inf")
    for step in range(1, 10):
        value = x**2 + y**2 + 1.0 / step
        trial.report(value, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return value
