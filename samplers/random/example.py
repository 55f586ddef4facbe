"""Draw a fifth of the points of a finite space, without repetition."""

import optuna

from samplers import RandomSampler

SPACE = {
    "units": optuna.distributions.IntDistribution(16, 128, step=16),
    "dropout": optuna.distributions.FloatDistribution(0.0, 0.5, step=0.1),
}


def objective(trial: optuna.Trial) -> float:
    units = trial.suggest_int("units", 16, 128, step=16)
    dropout = trial.suggest_float("dropout", 0.0, 0.5, step=0.1)
    return (units / 64 - 1) ** 2 + (dropout - 0.2) ** 2


if __name__ == "__main__":
    sampler = RandomSampler(seed=1, search_space=SPACE, proportion=0.2)
    study = optuna.create_study(sampler=sampler)
    study.optimize(objective)  # ends by itself
    print(f"{len(study.trials)} of 48 points; best: {study.best_params}")
