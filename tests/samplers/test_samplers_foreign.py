"""Samplers in studies of others: enqueued trials, NumPy's values, logs, studies made again."""

import importlib.util
import logging
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

import samplers
from samplers import BOHBSampler, GridSampler, PSOSampler, RandomSampler

ROOT = Path(__file__).parents[2]
UNIT = {"x": FloatDistribution(0, 10), "y": FloatDistribution(0, 10)}
FINITE = {"x": IntDistribution(0, 9), "y": IntDistribution(0, 9)}
SAMPLERS = {
    "grid": lambda: GridSampler({"x": range(10), "y": range(10)}),
    "random": lambda: RandomSampler(seed=1),
    "random-known": lambda: RandomSampler(seed=1, search_space=FINITE),
    "sample": lambda: RandomSampler(seed=1, search_space=FINITE, proportion=0.9),
    "pso": lambda: PSOSampler(seed=1),
    "pso-pure": lambda: PSOSampler(seed=1, n_candidates=1),
    "pso-classic": lambda: PSOSampler.classic(seed=1),
    "bohb": lambda: BOHBSampler(seed=1),
}


def without(names):
    return {name: make for name, make in SAMPLERS.items() if name not in names}


def evaluate(study, space, n):
    for _ in range(n):
        trial = study.ask(space)
        study.tell(trial, sum((value - 3) ** 2 for value in trial.params.values()))
    return [tuple(trial.params.values()) for trial in study.trials]


class TestEnqueued:
    """Every trial gets a point of its own, also where some of its parameters are fixed."""

    @pytest.mark.parametrize("name", without(["grid", "sample", "random-known"]))
    @pytest.mark.parametrize("fixed", [{"x": 5}, {}, {"z": 1}])
    @pytest.mark.parametrize("before", [0, 1, 3, 18, 30])
    def test_ten_enqueued_trials_are_ten_points(self, name, fixed, before):
        study = optuna.create_study(sampler=SAMPLERS[name]())
        evaluate(study, UNIT, before)
        for _ in range(10):
            study.enqueue_trial(fixed)
        points = evaluate(study, UNIT, 12)
        assert [points.count(point) for point in points[before : before + 10]] == [1] * 10
        if "x" in fixed:
            assert {x for x, _ in points[before : before + 10]} == {5}

    @pytest.mark.parametrize("name", without(["sample", "pso-classic", "bohb"]))
    @pytest.mark.parametrize("at_once", [False, True])
    @pytest.mark.parametrize("before", [0, 5, 20])
    def test_in_a_finite_space_all_that_is_left_is_evaluated(self, name, at_once, before):
        study = optuna.create_study(sampler=SAMPLERS[name]())
        evaluate(study, FINITE, max(before, 1))  # the first one tells the space
        n_left = 10 - len({t.params["y"] for t in study.trials if t.params["x"] == 5})
        for _ in range(n_left):
            study.enqueue_trial({"x": 5})
        if at_once:
            trials = [study.ask(FINITE) for _ in range(n_left + 3)]
            for trial in trials:
                study.tell(trial, 1.0)
        else:
            evaluate(study, FINITE, n_left + 3)
        points = [tuple(trial.params.values()) for trial in study.trials]
        assert len(set(points)) == len(points)

    def test_a_grid_with_enqueued_trials_is_evaluated_once(self):
        def objective(trial):
            return trial.suggest_int("x", 0, 99) + trial.suggest_int("y", 0, 9)

        study = optuna.create_study(sampler=SAMPLERS["grid"]())
        for x in (5, 5, 3, 50, 5):
            study.enqueue_trial({"x": x})
        for _ in range(4):
            study.enqueue_trial({"z": 1})
        study.optimize(objective)
        points = [tuple(sorted(trial.params.items())) for trial in study.trials]
        assert len(set(points)) == len(points) == 101

    def test_a_point_that_was_enqueued_when_all_are_done_is_evaluated_again(self):
        study = optuna.create_study(sampler=GridSampler({"x": range(2), "y": range(2)}))
        study.optimize(lambda t: t.suggest_int("x", 0, 1) + t.suggest_int("y", 0, 1))
        study.enqueue_trial({"x": 1})
        assert evaluate(study, {n: IntDistribution(0, 1) for n in "xy"}, 1)[-1][0] == 1

    @pytest.mark.parametrize("name", SAMPLERS)
    def test_a_restart_at_any_cut_changes_nothing(self, name):
        def run(cut):
            study = optuna.create_study(sampler=SAMPLERS[name]())
            for number in range(24):
                if number == cut:
                    study.sampler = pickle.loads(pickle.dumps(study.sampler))
                if number in (0, 3, 14, 21):
                    study.enqueue_trial({"x": 5})
                    study.enqueue_trial({"y": 2})
                evaluate(study, FINITE, 1)
            return [trial.params for trial in study.trials]

        whole = run(None)
        assert all(run(cut) == whole for cut in range(0, 24, 3))

    def test_an_enqueued_trial_is_not_the_first_of_a_flock(self):
        """A swarm that is done sets out again with a trial that takes a turn."""

        def run(cut):
            study = optuna.create_study(sampler=PSOSampler(seed=3, swarm_size=3))
            for number in range(90):
                if number > 30 and number % 2:
                    study.enqueue_trial({"x": number % 10})
                if number == cut:
                    study.sampler = pickle.loads(pickle.dumps(study.sampler))
                evaluate(study, UNIT, 1)
            return study.trials

        whole = run(None)
        flocks = {trial.system_attrs["pso:move"]["since"][0] for trial in whole[1:]} - {0}
        assert flocks
        assert not [n for n in flocks if "fixed_params" in whole[n].system_attrs]
        for cut in range(60, 90, 2):
            assert [t.params for t in run(cut)] == [t.params for t in whole]


class TestGridValues:
    """A value stands where it lies on its axis, not only where it is the same to the last digit."""

    @pytest.mark.parametrize(
        "axis",
        [
            FloatDistribution(0, 1, step=0.1),
            np.arange(0, 1.05, 0.1),
            np.linspace(0, 1, 11),
            [i * 0.1 for i in range(11)],
        ],
        ids=["step", "arange", "linspace", "products"],
    )
    @pytest.mark.parametrize("step", [0.1, None])
    def test_what_was_enqueued_is_not_evaluated_again(self, axis, step):
        study = optuna.create_study(sampler=GridSampler({"x": axis}))
        for value in (0.3, 0.7, 0.1 + 0.2, 0.6):
            study.enqueue_trial({"x": value})
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1, step=step))
        assert len(study.trials) == 12  # 0.3 was enqueued twice
        assert {round(trial.params["x"] * 10) for trial in study.trials} == set(range(11))
        assert study.sampler.is_exhausted(study)

    def test_a_value_between_two_others_is_none_of_them(self):
        study = optuna.create_study(sampler=GridSampler({"x": [0.0, 0.1, 5.0, 7.5]}))
        for value in (0.1 + 1e-7, 4.0, 9.0, float("inf")):
            study.enqueue_trial({"x": value})
        with pytest.warns(UserWarning, match="out of range"):
            study.optimize(lambda trial: min(trial.suggest_float("x", 0, 10), 9.0))
        assert len(study.trials) == 8

    @pytest.mark.parametrize(
        ("distribution", "size"),
        [
            (FloatDistribution(1.7e9, 1.7e9 + 10, step=0.1), 21),  # every fifth
            (FloatDistribution(1000, 1000.0001, step=1e-6), None),
            (IntDistribution(2**60, 2**60 + 1024), 5),
        ],
    )
    def test_a_grid_has_what_optuna_accepts_of_a_range(self, distribution, size):
        sampler = GridSampler({"x": distribution})
        study = optuna.create_study(sampler=sampler)
        study.optimize(lambda trial: float(trial._suggest("x", distribution)))
        values = {trial.params["x"] for trial in study.trials}
        assert len(values) == len(study.trials) == sampler.n_points
        assert all(distribution._contains(distribution.to_internal_repr(v)) for v in values)
        assert size in (None, len(values))
        assert len(values) > 2

    def test_a_hundred_million_steps_are_a_grid(self):
        distribution = FloatDistribution(0, 1e7, step=0.1)
        sampler = GridSampler({"x": distribution})
        study = optuna.create_study(sampler=sampler)
        for _ in range(60):
            trial = study.ask({"x": distribution})
            assert distribution._contains(trial.params["x"])
            study.tell(trial, 0.0)
        assert len({trial.params["x"] for trial in study.trials}) == 60
        assert 9e7 < sampler.n_points <= 1e8 + 1

    @pytest.mark.parametrize(
        "distribution", [IntDistribution(0, 2**64), FloatDistribution(0, 100, step=1e-18)]
    )
    def test_a_range_that_no_grid_can_tell_apart_needs_levels(self, distribution):
        with pytest.raises(ValueError, match=r"search_space\['x'\]: .*levels=\{'x': 5\}"):
            GridSampler({"x": distribution})
        assert GridSampler({"x": distribution}, levels=5).n_points == 5

    def test_an_integer_that_is_no_double_is_named(self):
        study = optuna.create_study(sampler=GridSampler({"x": [2**60 + 1]}))
        with pytest.raises(ValueError, match="and would make it 1152921504606846976"):
            study.ask({"x": IntDistribution(0, 2**62)})


class TestNumPy:
    """NumPy's scalars and arrays are taken as Python's values, which a storage can write."""

    @pytest.mark.parametrize(
        ("axis", "choices"),
        [
            (np.arange(3), [0, 1, 2]),
            ([np.int64(1), np.float32(0.5), np.bool_(True), np.str_("a"), None], None),
            (np.array(["a", "b"]), ["a", "b"]),
            (np.array([0.1, 0.2]), [0.1, 0.2]),
        ],
    )
    def test_an_axis_of_a_grid(self, sqlite, axis, choices):
        plain = [1, 0.5, True, "a", None] if choices is None else choices
        study = optuna.create_study(
            storage=sqlite(), sampler=GridSampler({"x": axis}, shuffle=False)
        )
        study.optimize(lambda trial: trial.suggest_categorical("x", plain) == plain[0])
        claims = [trial.system_attrs["grid:claim"]["point"]["x"] for trial in study.trials]
        assert claims == plain
        assert [type(value) for value in claims] == [type(value) for value in plain]

    def test_options_of_a_grid(self, sqlite):
        axes = {"x": FloatDistribution(0, 1), "y": IntDistribution(0, 9)}
        options = {"seed": np.uint8(3), "max_retries": np.int32(1), "shuffle": np.bool_(True)}
        sampler = GridSampler(axes, levels={"x": np.int64(3), "y": np.int16(2)}, **options)
        study = optuna.create_study(storage=sqlite(), sampler=sampler)
        study.optimize(lambda t: t.suggest_float("x", 0, 1) + t.suggest_int("y", 0, 9))
        assert len(study.trials) == 6
        assert GridSampler({"x": axes["x"]}, levels=np.int64(4)).n_points == 4

    def test_a_value_that_was_enqueued(self):
        study = optuna.create_study(sampler=GridSampler({"x": range(3), "y": [0.5, 1.5]}))
        study.enqueue_trial({"x": np.int64(1), "y": np.float32(0.5)})
        study.optimize(lambda t: t.suggest_int("x", 0, 2) + t.suggest_float("y", 0, 2))
        assert len(study.trials) == 6

    @pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")
    @pytest.mark.parametrize(
        "make",
        [
            lambda space: RandomSampler(seed=np.int64(1), search_space=space),
            lambda space: RandomSampler(search_space=space, proportion=np.float32(0.5)),
            lambda space: PSOSampler(
                search_space=space,
                swarm_size=np.int64(2),
                n_candidates=np.int8(4),
                inertia=np.float32(0.4),
                social=np.int64(2),
                warn_independent_sampling=np.bool_(False),
            ),
            lambda space: PSOSampler.classic(
                search_space=space, swarm_size=np.int64(2), phi_l=np.float32(1.5)
            ),
            lambda space: BOHBSampler(
                search_space=space,
                num_samples=np.int64(8),
                min_points_in_model=np.int64(3),
                random_fraction=np.float32(0.1),
            ),
        ],
    )
    @pytest.mark.parametrize("storage", ["memory", "sqlite"])
    def test_choices_and_options(self, sqlite, make, storage):
        plain = {"x": CategoricalDistribution([0, 1, 2]), "y": IntDistribution(0, 3)}
        space = {"x": CategoricalDistribution(np.arange(3)), "y": plain["y"]}
        storage = sqlite() if storage == "sqlite" else None
        study = optuna.create_study(storage=storage, sampler=make(space))
        for _ in range(6):
            study.tell(study.ask(plain), 1.0)
        assert {type(trial.params["x"]) for trial in study.trials} == {int}

    @pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")
    @pytest.mark.parametrize("name", without(["grid", "sample", "random-known"]))
    def test_choices_of_the_objective_in_memory(self, name):
        study = optuna.create_study(sampler=SAMPLERS[name]())
        study.optimize(lambda t: float(t.suggest_categorical("x", list(np.arange(3)))), n_trials=8)
        assert {trial.params["x"] for trial in study.trials} == {0, 1, 2}

    @pytest.mark.parametrize("make", [RandomSampler, PSOSampler, BOHBSampler])
    def test_a_space_that_is_none_is_named(self, make):
        with pytest.raises(ValueError, match="search_space: 3 cannot be used; give a dictionary"):
            make(search_space=3)
        with pytest.raises(ValueError, match="search_space: 3 cannot be used; give a dictionary"):
            GridSampler(3)


def conditional(trial):
    kind = trial.suggest_categorical("kind", ["a", "b"])
    if kind == "a":
        return trial.suggest_float("x", 0, 1) + trial.suggest_float("y", 0, 1)
    return trial.suggest_float("z", 0, 1)


class TestLogs:
    """Optuna's switches reach the samplers, and nothing is said a hundred times."""

    @pytest.fixture
    def said(self, caplog):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        optuna.logging.enable_propagation()
        return lambda: [r.getMessage() for r in caplog.records if "independently" in r.getMessage()]

    @pytest.mark.parametrize(
        ("make", "drawn"),
        [  # the default swarm knows what the first trial had
            (PSOSampler, ["z"]),
            (PSOSampler.classic, ["x", "y", "z"]),
            (BOHBSampler, ["x", "y", "z"]),
        ],
    )
    def test_a_warning_once_for_a_parameter_and_study(self, said, make, drawn):
        sampler = make(seed=1)
        for n_studies in (1, 2):
            study = optuna.create_study(sampler=sampler)
            study.optimize(conditional, n_trials=60)
            names = sorted(message.split("`")[1] for message in said())
            assert names == sorted(drawn * n_studies)

    @pytest.mark.parametrize("make", [PSOSampler, BOHBSampler])
    def test_verbosity_reaches_them(self, said, make):
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        optuna.create_study(sampler=make(seed=1)).optimize(conditional, n_trials=30)
        assert said() == []

    @pytest.mark.parametrize("name", ["PSOSampler", "BOHBSampler"])
    def test_without_optunas_handler_they_are_silent(self, name):
        """In a process of its own: pytest has handlers of its own for what this one logs."""
        script = f"""
import optuna, samplers
optuna.logging.disable_default_handler()
def objective(trial):
    return trial.suggest_float("xyz"[trial.number % 3], 0, 1) + trial.suggest_float("a", 0, 1)
study = optuna.create_study(sampler=samplers.{name}(seed=1))
study.optimize(objective, n_trials=10)
"""
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONPATH": str(Path(samplers.__file__).parents[1])},
            check=True,
            capture_output=True,
            text=True,
        )
        assert done.stderr == ""

    def test_their_names_are_below_optuna_wherever_they_are_loaded_from(self, tmp_path):
        script = [sys.executable, ROOT / ".ci" / "hub_export.py", tmp_path]
        subprocess.run(script, check=True, capture_output=True)
        loggers = logging.root.manager.loggerDict
        for package in (tmp_path / "package" / "samplers").iterdir():
            spec = importlib.util.spec_from_file_location(
                f"registry_{package.name}",
                package / "__init__.py",
                submodule_search_locations=[str(package)],
            )
            sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        assert not [name for name in loggers if name.startswith("registry")]
        ours = {name for name in loggers if "hpo_bench_samplers" in name}
        assert ours >= {f"optuna.hpo_bench_samplers.{name}" for name in ("bohb", "grid", "pso")}


class TestStudiesMadeAgain:
    """SQLite gives the ids of a deleted study and its trials to the next one."""

    @pytest.mark.parametrize("name", SAMPLERS)
    @pytest.mark.parametrize("left", ["finished", "running"])
    @pytest.mark.parametrize("n_before", [1, 2, 7])
    def test_it_begins_anew(self, tmp_path, name, left, n_before):
        storage = optuna.storages.get_storage(f"sqlite:///{tmp_path}/s.db")
        alone = evaluate(optuna.create_study(sampler=SAMPLERS[name]()), FINITE, 8)
        sampler = SAMPLERS[name]()
        for _ in range(2):
            study = optuna.create_study(study_name="s", storage=storage, sampler=sampler)
            if left == "running":
                study.ask(FINITE)
            evaluate(study, FINITE, n_before)
            optuna.delete_study(study_name="s", storage=storage)
        study = optuna.create_study(study_name="s", storage=storage, sampler=sampler)
        assert evaluate(study, FINITE, 8) == alone

    @pytest.mark.parametrize("name", SAMPLERS)
    def test_where_others_have_begun_it(self, tmp_path, name):
        """The sampler's first trial has a number that the former study did not reach."""

        def begin(storage, sampler, n_before):
            study = optuna.create_study(study_name="s", storage=storage)
            study.sampler = optuna.samplers.RandomSampler(seed=n_before)
            evaluate(study, FINITE, n_before)
            study.sampler = sampler
            return study

        def end(study):
            if hasattr(study.sampler, "is_exhausted"):
                study.sampler.is_exhausted(study)  # reads all trials: none is left unfinished
            optuna.delete_study(study_name="s", storage=study._storage)

        storage = optuna.storages.get_storage(f"sqlite:///{tmp_path}/s.db")
        for n_others in (2, 3, 5):
            alone = evaluate(begin(None, SAMPLERS[name](), n_others), FINITE, 4)
            sampler = SAMPLERS[name]()
            former = begin(storage, sampler, 0)
            evaluate(former, FINITE, 2)
            end(former)
            again = begin(storage, sampler, n_others)
            assert evaluate(again, FINITE, 4) == alone
            end(again)

    @pytest.mark.parametrize("make", [SAMPLERS["grid"], SAMPLERS["sample"]])
    def test_it_is_not_exhausted(self, tmp_path, make):
        storage = optuna.storages.get_storage(f"sqlite:///{tmp_path}/s.db")
        sampler = make()
        for _ in range(2):
            study = optuna.create_study(study_name="s", storage=storage, sampler=sampler)
            assert not sampler.is_exhausted(study)
            study.optimize(lambda t: t.suggest_int("x", 0, 9) + t.suggest_int("y", 0, 9))
            assert sampler.is_exhausted(study)
            assert len(study.get_trials(states=[TrialState.COMPLETE])) == sampler.n_points
            optuna.delete_study(study_name="s", storage=storage)

    @pytest.mark.parametrize("make", [RandomSampler, PSOSampler, BOHBSampler])
    def test_it_keeps_a_seed_of_its_own(self, tmp_path, make):
        storage = optuna.storages.get_storage(f"sqlite:///{tmp_path}/s.db")
        sampler, seeds = make(), set()
        for _ in range(2):
            study = optuna.create_study(study_name="s", storage=storage, sampler=sampler)
            evaluate(study, FINITE, 3)
            [seed] = storage.get_study_system_attrs(study._study_id).values()
            seeds.add(seed)
            optuna.delete_study(study_name="s", storage=storage)
        assert len(seeds) == 2
