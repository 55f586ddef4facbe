"""Search a grid that is made from ranges; a second run repeats no point."""

import optuna

from samplers import GridSampler

SPACE = {
    "lr": optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True),
    "layers": optuna.distributions.IntDistribution(1, 3),
    "optimizer": optuna.distributions.CategoricalDistribution(["sgd", "adam"]),
}


def objective(trial: optuna.Trial) -> float:
    lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    layers = trial.suggest_int("layers", 1, 3)
    optimizer = trial.suggest_categorical("optimizer", ["sgd", "adam"])
    return abs(lr - 0.01) + abs(layers - 2) + (optimizer == "sgd")


if __name__ == "__main__":
    sampler = GridSampler(SPACE, levels={"lr": 4})
    study = optuna.create_study(
        study_name="grid", storage="sqlite:///grid.db", sampler=sampler, load_if_exists=True
    )
    while not sampler.is_exhausted(study):
        trial = study.ask()
        study.tell(trial, objective(trial))
    print(f"{len(study.trials)} trials for {sampler.n_points} points; best: {study.best_params}")
