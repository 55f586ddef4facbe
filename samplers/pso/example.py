"""Let a swarm minimise a function of a float, a logarithmic one, an integer and a choice."""

import math

import optuna

from samplers import PSOSampler


def objective(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", -5, 5)
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    layers = trial.suggest_int("layers", 1, 8)
    kind = trial.suggest_categorical("kind", ["a", "b", "c"])
    return (x - 1) ** 2 + (math.log10(lr) + 3) ** 2 + abs(layers - 5) + 2 * (kind != "b")


if __name__ == "__main__":
    study = optuna.create_study(sampler=PSOSampler(seed=1))
    study.optimize(objective, n_trials=100)
    print(study.best_value, study.best_params)

    # Algorithm 3 of Goulas and Hocquette (ICE, P24) ends by itself: when the swarm is at rest.
    study = optuna.create_study(sampler=PSOSampler.classic(seed=1, epsilon=0.05))
    study.optimize(objective, n_trials=1000)
    print(len(study.trials), study.best_value, study.best_params)
