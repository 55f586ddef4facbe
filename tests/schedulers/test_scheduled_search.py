"""The schedules over samplers: what is recorded, and what a crash costs."""

from functools import partial

import pytest
from command import Command, descendants, wait_until_gone
from driver import SPACE, check_resumed_at_cuts, evaluate, flaky, new_study, run, valley
from optuna.trial import TrialState

from hpo_bench import methods, suite
from hpo_bench.errors import InputError
from hpo_bench.running.execution import execute
from hpo_bench.running.runs import Run
from hpo_bench.search import Outcome, Setup
from hpo_bench.storage.opening import open_storage
from hpo_bench.storage.records import jobs_of
from hpo_bench.storage.studies import load_study
from samplers import PSOSampler

NAMES = ["successive-halving", "hyperband", "asha"]


def new_search(study, name="asha", *, sampler="random", max_fidelity=9, **options):
    setup = Setup(study, SPACE, 0, max_fidelity)
    return methods.build("m", setup, target=name, options={"sampler": sampler, **options})


@pytest.mark.parametrize("name", NAMES)
def test_promoted_trainings_continue_and_the_others_are_pruned(name):
    study = new_study()
    run(partial(new_search, name=name), study, 90)
    reached = {"PRUNED": [], "COMPLETE": []}
    for trial in study.trials:
        fidelities = [job.fidelity for job in jobs_of(trial)]
        assert fidelities == sorted(set(fidelities))
        # Each epoch is trained once, and has a value.
        assert sum(job.epochs for job in jobs_of(trial)) == fidelities[-1]
        assert sorted(trial.intermediate_values) == list(range(1, fidelities[-1] + 1))
        assert trial.user_attrs["rung"] == len(fidelities) - 1
        reached[trial.state.name].append(fidelities[-1])
    assert set(reached["COMPLETE"]) == {9}
    assert set(reached["PRUNED"]) == {1, 3}
    assert all(
        t.value == t.intermediate_values[9] for t in study.trials if t.value and t.state == 1
    )
    if name == "successive-halving":  # five brackets of 21 epochs would be 105
        first = study.trials[:9]
        best = sorted(first, key=lambda t: t.intermediate_values[1])[:3]
        assert [t for t in first if len(jobs_of(t)) > 1] == sorted(best, key=lambda t: t.number)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_better_ones_go_on_in_either_direction(direction):
    study = new_study(direction)
    search = new_search(study, "successive-halving", max_fidelity=3)
    for value in (0.3, 0.1, 0.2):
        search.tell(search.ask(), Outcome(1, value))
    job = search.ask()
    assert (job.trial.number, job.until) == ({"minimize": 1, "maximize": 0}[direction], 3)
    states = [t.state for t in study.trials]
    assert states.count(TrialState.PRUNED) == 2
    search.tell(job, Outcome(3, 0.5))
    assert study.trials[job.trial.number].value == 0.5


def test_a_failed_evaluation_fails_its_trial_and_one_cut_short_is_pruned():
    study = new_study()
    search = new_search(study, max_fidelity=3)
    for outcome in (Outcome(0, None), Outcome(1, float("nan")), Outcome(1, 0.1, pruned=True)):
        search.tell(search.ask(), outcome)
    states = [TrialState.FAIL, TrialState.FAIL, TrialState.PRUNED]
    assert [t.state for t in study.trials] == states
    assert search.ask().trial.number == 3


def test_tpe_learns_from_the_lower_rungs():
    found = {}
    for sampler in ("random", "tpe"):
        study = new_study()
        run(partial(new_search, sampler=sampler), study, 150)
        found[sampler] = sum(t.params["kind"] == "b" for t in study.trials) / len(study.trials)
    assert found["tpe"] > found["random"] + 0.15


def test_a_grid_is_tried_to_its_end():
    study = new_study()
    options = {"values": {"rate": [0.001, 0.01, 0.02, 0.1], "kind": ["a", "b"]}}
    grid = {"sampler": "grid", "sampler_options": options}
    search = new_search(study, "successive-halving", max_fidelity=3, **grid)
    while (job := search.ask()) is not None:
        search.tell(job, evaluate(job))
    # Of the last bracket, which stays without its third member, one goes on as well.
    assert [t.state.name for t in study.trials].count("COMPLETE") == 3
    assert len({str(t.params) for t in study.trials}) == len(study.trials) == 8


@pytest.mark.parametrize(
    ("name", "sampler", "function", "first"),
    [
        ("successive-halving", "pso", valley, 0),
        ("hyperband", "random", flaky, 3),
        ("asha", "random", flaky, 5),
        ("asha", "pso", valley, 9),
    ],
)
def test_resumed_after_a_write_it_goes_on_as_if_never_stopped(name, sampler, function, first):
    new = partial(new_search, name=name, sampler=sampler)
    check_resumed_at_cuts(new, 28, function, first, step=13)


def test_a_killed_command_goes_on_to_the_same_end(tmp_path):
    asha = "asha = { options = { sampler = 'pso' } }\n"
    told = []
    for name in ("undisturbed", "killed"):
        (tmp_path / name).mkdir()
        command = Command(tmp_path / name, methods=asha, seeds=1, budget="epochs = 36")
        if name == "killed":
            process = command.start()
            command.wait_for_units(20)
            started = descendants(process.pid)
            process.kill()
            process.communicate()
            wait_until_gone(started)
        command.finish()
        told.append(command.told())
    assert told[0] == told[1]
    trained = [(u["x"], u["y"], u["fidelity"]) for u in command.units()]
    assert len(trained) <= 36 + 9 + 9  # what was in the middle once more, and the last evaluation


def test_checkpoints_are_kept_of_undecided_trials_alone(tmp_path):
    made = suite.parse(
        {
            "name": "s",
            "objective": {"name": "toy:Curve", "options": {"epochs": 9}},
            "budget": {"epochs": 90},
            "storage": f"sqlite:///{tmp_path}/s.db",
            "methods": {"asha": {"options": {"sampler": "random", "patience": 3}}},
        }
    )
    shares = []
    execute(
        Run(made, "asha", 0, tmp_path / "kept"),
        notify=lambda status: shares.append(status.share),
        should_stop=lambda: len(shares) > 40,
    )
    study = load_study(open_storage(made.storage), "s/asha/seed-00")
    states = [trial.state for trial in study.trials]
    kept = {int(p.stem.removeprefix("trial-")) for p in (tmp_path / "kept").rglob("*.checkpoint")}
    assert kept == {n for n, state in enumerate(states) if state is TrialState.RUNNING}
    assert 0 < len(kept) < states.count(TrialState.PRUNED)


@pytest.mark.parametrize("name", NAMES)
def test_parallel_workers_share_a_run(tmp_path, name):
    study = in_parallel(tmp_path, name)
    epochs = 0
    for trial in study.trials:
        assert trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        fidelities = [job.fidelity for job in jobs_of(trial)]
        epochs += fidelities[-1]
        assert sum(job.epochs for job in jobs_of(trial)) == fidelities[-1]
    assert 60 <= epochs <= 60 + 3 * 9
    assert not list((tmp_path / "checkpoints").rglob("*.checkpoint"))
    if name == "asha":
        again = in_parallel(tmp_path / "again", name)
        assert [t.params for t in again.trials] == [t.params for t in study.trials]
        assert [t.state for t in again.trials] == [t.state for t in study.trials]


def in_parallel(folder, name):
    """Three processes, whose epochs take unequal times, on one run that is repeatable."""
    folder.mkdir(exist_ok=True)
    options = {"epochs": 9, "uneven": True, "unit_seconds": 0.002}
    made = suite.parse(
        {
            "name": "s",
            "objective": {"name": "toy:Curve", "options": options},
            "budget": {"epochs": 60},
            "storage": f"sqlite:///{folder}/s.db",
            "workers_per_run": 3,
            "deterministic": True,
            "methods": {name: {"options": {"sampler": "random"}}},
        }
    )
    status = execute(Run(made, name, 0, folder / "checkpoints"))
    assert status.finished == "epochs spent"
    return load_study(open_storage(made.storage), f"s/{name}/seed-00")


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("asha", {"eta": 1}, "eta: 1 .*2 or more"),
        ("asha", {"patience": 0}, "patience: 0 .*1 or more"),
        ("hyperband", {"min_epochs": 4}, "eta: 3 .*one rung"),
        ("successive-halving", {"n_configurations": 8}, "n_configurations: 8 .*9 or more"),
        ("hyperband", {"sampler": "bohb"}, "sampler: 'bohb'.*a method that is a sampler"),
        ("hyperband", {"sampler": "tep"}, "did you mean 'tpe'"),
        ("asha", {"sampler_options": {"n": 1}}, r"sampler.options.n: .*allowed"),
    ],
)
def test_what_cannot_be_used_is_told(name, options, told):
    with pytest.raises(InputError, match=told):
        new_search(new_study(), name, **options)


def test_a_random_start_is_counted_in_what_configurations_cost():
    search = new_search(new_study(), "successive-halving", sampler="tpe")
    assert (search.n_startup, search.epochs_each) == (10, 21 / 9)
    assert search.evaluations_each == 13 / 9
    # PSO moves by COMPLETE trials alone, which are one in nine here.
    swarm = new_search(
        new_study(), "successive-halving", sampler="pso", sampler_options={"swarm_size": 4}
    )
    alone = PSOSampler(seed=0, swarm_size=4).n_startup_trials(SPACE)
    assert swarm.n_startup == 9 * alone
    table = {"name": "s", "objective": {"name": "hpo_bench.conformance.problems:Bowl"}}
    for epochs, is_told in ((15, True), (24, False)):
        made = suite.parse({**table, "budget": {"epochs": epochs}, "methods": {"asha": {}}})
        assert any("first 10 configurations" in told for told in made.check()) == is_told
