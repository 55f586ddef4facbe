"""Train many configurations for a little while, and the promising ones to the end."""

import math

import optuna

from samplers import BOHBSampler

EPOCHS = 27


def objective(trial: optuna.Trial) -> float:
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    layers = trial.suggest_int("layers", 1, 8)
    kind = trial.suggest_categorical("kind", ["a", "b", "c"])
    loss = (math.log10(lr) + 3) ** 2 + abs(layers - 5) / 4 + (kind != "b")
    for epoch in range(1, EPOCHS + 1):
        trial.report(loss + 3 / epoch, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return loss + 3 / EPOCHS


if __name__ == "__main__":
    study = optuna.create_study(
        study_name="bohb",
        sampler=BOHBSampler(seed=1),
        pruner=optuna.pruners.HyperbandPruner(max_resource=EPOCHS),
    )
    study.optimize(objective, n_trials=100)
    print(f"{sum(len(trial.intermediate_values) for trial in study.trials)} epochs in all")
    print(study.best_value, study.best_params)
