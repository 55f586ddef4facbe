import builtins
import gzip
import json

import numpy as np
import optuna
import pytest
from recordings import LEVELS, SPACE, card, columns, toy_table, value

from hpo_bench import suite
from hpo_bench.analysis.results import collect
from hpo_bench.errors import HpoBenchError, InputError, MissingExtraError
from hpo_bench.objectives import build
from hpo_bench.objectives.table import Table
from hpo_bench.objectives.table.files import read, write
from hpo_bench.objectives.table.objective import shipped
from hpo_bench.running.execution import execute
from hpo_bench.running.runs import Run
from hpo_bench.spaces import to_table
from hpo_bench.storage.opening import open_storage
from hpo_bench.storage.records import jobs_of
from hpo_bench.storage.studies import iterate_studies

SUFFIXES = (".csv", ".csv.gz", ".parquet")


@pytest.fixture(params=SUFFIXES)
def path(request, tmp_path):
    return toy_table(tmp_path / f"toy{request.param}")


@pytest.fixture
def csv(tmp_path):
    return toy_table(tmp_path / "toy.csv")


def curve(objective, configuration):
    evaluation = objective.start(configuration)
    values = [evaluation.advance() for _ in range(objective.max_fidelity)]
    return values, evaluation.measurements()


def test_what_was_recorded_is_replayed_epoch_by_epoch(path):
    table = Table(path, seed=5)
    values, measured = curve(table, {"units": 2, "activation": "tanh", "rate": 1})
    seed = measured.pop("recorded_training")
    assert values == [value(64, "tanh", 0.25, 2, seed, epoch) for epoch in (1, 2, 3)]
    others = [value(64, "tanh", 0.25, 2, other, 3) for other in {0, 1, 2} - {seed}]
    assert measured.pop("held_out") == pytest.approx(sum(others) / 2)
    assert measured.pop("held_out_test") == pytest.approx(sum(others) / 2 - 0.1)
    assert measured == {
        "test_accuracy": values[-1] - 0.1,
        "parameters": 7 * 64,
        "recorded_units": 64,
        "recorded_rate": 0.25,
        "recorded_depth": 2,
    }


def test_its_space_is_the_recorded_levels_by_index_and_what_has_one_is_not_searched(path):
    table = Table(path)
    assert {name: to_table(d) for name, d in table.search_space.items()} == {
        "units": {"low": 0, "high": 2},
        "activation": {"choices": ["relu", "tanh"]},
        "rate": {"low": 0, "high": 1},
    }
    assert (table.metric_name, table.max_fidelity) == ("validation accuracy", 3)
    assert table.directions == [optuna.study.StudyDirection.MAXIMIZE]


def test_its_card_and_hash_say_what_it_is(path):
    described = Table(path).describe()
    assert described == {
        "data": "recorded trainings 'toy'; trained on toys",
        "train_size": 100,
        "data_sha256": "c0ffee",
        "table_sha256": read(path)[2],
        "recorded_configurations": 12,
        "recorded_trainings": 36,
    }


def test_the_same_rows_give_the_same_bytes(path):
    before = path.read_bytes()
    write(path, card(), columns())
    assert path.read_bytes() == before


def test_which_training_is_replayed_depends_on_seed_and_configuration_alone(csv):
    def drawn(seed):
        return [
            curve(Table(csv, seed=seed), {"units": u, "activation": a, "rate": r})[1][
                "recorded_training"
            ]
            for u in range(3)
            for a in ("relu", "tanh")
            for r in range(2)
        ]

    draws = np.array([drawn(seed) for seed in range(30)])
    assert (draws == [drawn(seed) for seed in range(30)]).all()
    assert len(np.unique(draws, axis=0)) == 30
    counts = np.bincount(draws.ravel(), minlength=3)
    assert counts.sum() == 360
    assert counts.min() > 90  # of 120 expected: more than three standard deviations away


def test_going_on_from_a_checkpoint_is_the_same_training(csv):
    table = Table(csv, seed=3)
    configuration = {"units": 1, "activation": "relu", "rate": 0}
    whole, _ = curve(table, configuration)
    first = table.start(configuration)
    first.advance()
    later = Table(csv, seed=3).restore(configuration, first.checkpoint())
    assert [later.advance(), later.advance()] == whole[1:]
    with pytest.raises(HpoBenchError, match="the checkpoint is damaged"):
        table.restore(configuration, b"[]")


@pytest.mark.parametrize(
    ("configuration", "text"),
    [
        ({"units": 1, "activation": "relu"}, "configuration: .*units, activation, rate"),
        ({"units": 3, "activation": "relu", "rate": 0}, r"configuration.units: 3 .*0 to 2"),
        ({"units": 0.5, "activation": "relu", "rate": 0}, r"configuration.units: 0.5 .*0 to 2"),
        ({"units": 1, "activation": "gelu", "rate": 0}, "configuration.activation: 'gelu'"),
    ],
)
def test_a_configuration_off_the_table_is_an_error(csv, configuration, text):
    with pytest.raises(InputError, match=text):
        Table(csv).start(configuration)


def test_a_hole_in_the_grid_is_an_error(tmp_path):
    kept = columns(keep=lambda row: row["units"] != 16 or row["activation"] == "tanh")
    write(tmp_path / "holes.csv", card(), kept)
    with pytest.raises(InputError, match="nothing was recorded there"):
        Table(tmp_path / "holes.csv").start({"units": 1, "activation": "relu", "rate": 0})


def test_snap_replays_the_nearest_in_the_unit_cube_and_says_so(csv):
    table = Table(csv, snap=True)
    assert {n: to_table(d) for n, d in table.search_space.items()} == {
        name: SPACE[name] for name in ("units", "activation", "rate")
    }
    # On the log scale 9 is nearer to 16 than to 4, and further from it than 0.25 is from 0.3.
    values, measured = curve(table, {"units": 9, "activation": "relu", "rate": 0.3})
    seed = measured["recorded_training"]
    assert values[-1] == value(16, "relu", 0.25, 2, seed, 3)
    assert (measured["recorded_units"], measured["recorded_rate"]) == (16, 0.25)
    away = np.hypot(np.log(16 / 9) / np.log(16), 0.05)
    assert measured["snap_distance"] == pytest.approx(away)


def test_on_a_level_snap_replays_what_the_table_does_without_it(csv):
    plain, snapping = Table(csv, seed=4), Table(csv, snap=True, seed=4)
    for place, units in enumerate(LEVELS["units"]):
        values, measured = curve(snapping, {"units": units, "activation": "tanh", "rate": 0.0})
        assert values == curve(plain, {"units": place, "activation": "tanh", "rate": 0})[0]
        assert measured["snap_distance"] == 0


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_none_is_a_choice_as_any_other(tmp_path, suffix):
    choices = {"choices": [None, "tanh"]}
    path = tmp_path / f"none{suffix}"
    rows = columns({**LEVELS, "activation": [None, "tanh"]})
    write(path, card(space={**SPACE, "activation": choices}), rows)
    table = Table(path)
    assert to_table(table.search_space["activation"]) == choices
    values, measured = curve(table, {"units": 0, "activation": None, "rate": 0})
    assert values[-1] == value(4, None, 0.0, 2, measured["recorded_training"], 3)


def test_numbers_that_are_choices_are_searched_from_the_lowest(tmp_path):
    rows = columns({**LEVELS, "units": [64, 4, 16]})
    write(tmp_path / "toy.csv", card(space={**SPACE, "units": {"choices": [64, 4, 16]}}), rows)
    table = Table(tmp_path / "toy.csv")
    assert to_table(table.search_space["units"]) == {"low": 0, "high": 2}
    for place, units in enumerate((4, 16, 64)):
        values, measured = curve(table, {"units": place, "activation": "relu", "rate": 0})
        assert measured["recorded_units"] == units
        assert values[-1] == value(units, "relu", 0.0, 2, measured["recorded_training"], 3)
    snapping = Table(tmp_path / "toy.csv", snap=True)
    _, measured = curve(snapping, {"units": 64, "activation": "relu", "rate": 0.1})
    assert measured["recorded_units"] == 64


def test_choices_are_never_snapped(tmp_path):
    table = columns({**LEVELS, "activation": ["relu"]})
    write(tmp_path / "relu.csv", card(), table)
    space = {"choices": ["relu", "tanh", "gelu"]}
    two = columns()
    write(tmp_path / "two.csv", card(space={**SPACE, "activation": space}), two)
    snapping = Table(tmp_path / "two.csv", snap=True)
    with pytest.raises(InputError, match=r"activation: 'gelu' .*only \['relu', 'tanh'\]"):
        snapping.start({"units": 9, "activation": "gelu", "rate": 0.3})
    assert "activation" not in Table(tmp_path / "relu.csv", snap=True).search_space


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"table": "x.txt"}, r"options.table: 'x.txt' .*ends in .csv, .csv.gz, .parquet"),
        ({"table": "lenet5-shape"}, "options.table: .*did you mean 'lenet5-shapes'"),
        ({"table": 3}, "options.table: 3 .*a path"),
        ({"table": "nowhere.csv"}, "nowhere.csv cannot be read: No such file"),
        ({"snap": "yes"}, "options.snap: 'yes' .*true or false"),
        ({"clock": "simulate"}, r"options.clock: 'simulate' .*did you mean 'simulated'"),
        ({"snapp": True}, "options.snapp: True .*did you mean 'snap'"),
    ],
)
def test_a_setting_that_cannot_be_used_is_told(csv, options, text):
    with pytest.raises(HpoBenchError, match=text):
        build("table", None, 0, {"table": str(csv), **options})


def test_the_space_is_the_tables_own(csv):
    with pytest.raises(InputError, match=r"space.*fixed: leave out"):
        build("table", {"units": 4}, 0, {"table": str(csv)})


def test_a_path_is_meant_from_the_data_directory(csv):
    assert build("table", None, 0, {"table": csv.name, "data_dir": str(csv.parent)}).max_fidelity


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("pyarrow"):
            raise ModuleNotFoundError(name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"'pyarrow'.*hpo-bench\[tables\]"):
        Table(tmp_path / "x.parquet")
    Table(toy_table(tmp_path / "x.csv"))


def damaged(name, change):
    found = columns()
    found[name] = change(list(found[name]))
    return found


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ({n: v[1:] for n, v in columns().items()}, "'units': 4.*'depth': 2.* lacks epoch 1"),
        ({n: [*v, v[-1]] for n, v in columns().items()}, "stands there twice"),
        (damaged("epoch", lambda v: [4, *v[1:]]), "epoch: expected 1 to 3"),
        (damaged("seconds", lambda v: [-1, *v[1:]]), "seconds: expected 0 or more"),
        (damaged("seconds", lambda v: ["soon", *v[1:]]), "soon"),
        (damaged("seed", lambda v: ["a", *v[1:]]), "seed: expected whole numbers"),
        (damaged("activation", lambda v: ["gelu", *v[1:]]), "'gelu' is not one of the card's"),
        ({n: v for n, v in columns().items() if n != "seconds"}, "there is no column seconds"),
        ({n: [] for n in columns()}, "there is no row|not a table"),
    ],
)
def test_a_table_with_gaps_is_refused(tmp_path, rows, text):
    path = tmp_path / "toy.csv"
    write(path, card(), rows)
    with pytest.raises(HpoBenchError, match=rf"toy\.csv .*{text}"):
        Table(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_whole_numbers_may_be_written_as_others_do_and_are_never_cut(tmp_path, suffix):
    path = tmp_path / f"toy{suffix}"
    found = columns()
    write(path, card(), {**found, "units": [float(units) for units in found["units"]]})
    assert Table(path).trainings.levels["units"] == [4, 16, 64]
    write(path, card(), {**found, "units": [units + 0.5 for units in found["units"]]})
    with pytest.raises(HpoBenchError, match=r"units: expected whole numbers; .*'4\.5'"):
        Table(path)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"units,seed\n4,0\n", "expected a first line with its card"),
        (b"# {}\nunits\n4\n", "its card: name: Field required"),
        (b"# nothing\nunits\n4\n", "its card: all of it: Invalid JSON"),
        (b"\xff\xfe\x00", "codec can't decode"),
        (b"# {}\na,b\n1\n", "different lengths"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, content, text):
    (tmp_path / "bad.csv").write_bytes(content)
    (tmp_path / "bad.csv.gz").write_bytes(gzip.compress(content))
    for name in ("bad.csv", "bad.csv.gz"):
        with pytest.raises(HpoBenchError, match=f"is not a table of trainings: .*{text}"):
            Table(tmp_path / name)


def test_files_that_are_not_what_their_name_says_are_refused(tmp_path, csv):
    for name in ("x.csv.gz", "x.parquet"):
        (tmp_path / name).write_bytes(csv.read_bytes())
        with pytest.raises(HpoBenchError, match="is not a table of trainings"):
            Table(tmp_path / name)


def run_on(csv, tmp_path, options=None, **changes):
    mine = suite.parse(
        {
            "name": "replay",
            "objective": {"name": "table", "options": {"table": str(csv), **(options or {})}},
            "budget": {"epochs": 36},
            "seeds": [0],
            "methods": {"random": {}},
            "storage": f"sqlite:///{tmp_path / 'replay.db'}",
            **changes,
        }
    )
    mine.check()
    (method,) = mine.methods
    status = execute(Run(mine, method, 0, tmp_path / "checkpoints"))
    (study,) = iterate_studies(open_storage(mine.storage), "replay")
    return status, study


def test_simulated_time_counts_as_spent_without_waiting(csv, tmp_path):
    status, study = run_on(csv, tmp_path, {"clock": "simulated"})
    assert status.finished == "epochs spent"
    for trial in study.trials:
        (job,) = jobs_of(trial)
        recorded = 10 + 20 + 30 + 3 * trial.user_attrs["recorded_training"]
        assert job.train_seconds == pytest.approx(recorded, abs=1)
        assert job.wall_seconds >= job.train_seconds
        assert job.wall_seconds == pytest.approx(recorded, abs=5)
    waited = study.trials[-1].datetime_complete - study.trials[0].datetime_start
    assert waited.total_seconds() < 60 < 12 * 60


def test_a_budget_of_seconds_is_one_of_simulated_seconds(csv, tmp_path):
    status, study = run_on(csv, tmp_path, {"clock": "simulated"}, budget={"seconds": 150})
    assert status.finished == "seconds spent"
    assert len(study.trials) == 3


def test_measured_time_is_what_a_replay_takes(csv, tmp_path):
    _, study = run_on(csv, tmp_path)
    assert sum(trial.user_attrs["train_seconds"] for trial in study.trials) < 10


def test_bohb_goes_on_with_the_training_it_began(csv, tmp_path):
    _, study = run_on(csv, tmp_path, {"clock": "simulated"}, methods={"bohb": {}})
    promoted = [trial for trial in study.trials if len(jobs_of(trial)) > 1]
    trained = [trial for trial in promoted if not any(job.is_repeat for job in jobs_of(trial))]
    assert trained
    assert all("restarted" not in trial.user_attrs for trial in promoted)
    for trial in trained:
        first, second = jobs_of(trial)
        which = trial.user_attrs["recorded_training"]
        assert (first.epochs, second.epochs) == (1, 2)
        assert first.train_seconds == pytest.approx(10 + which, abs=1)
        assert second.train_seconds == pytest.approx(20 + 30 + 2 * which, abs=1)


def test_a_recorded_failure_fails_where_it_did(tmp_path):
    kept = columns(keep=lambda row: row["units"] > 4 or row["epoch"] < 3)
    places = range(len(kept["value"]))
    broken = [i for i in places if kept["units"][i] == 4 and kept["epoch"][i] == 2]
    kept["value"] = [float("nan") if i in broken else kept["value"][i] for i in places]
    write(tmp_path / "broken.csv", card(), kept)
    grid = {"grid": {"options": {"shuffle": False}}}
    _, study = run_on(tmp_path / "broken.csv", tmp_path, {"clock": "simulated"}, methods=grid)
    failed = [t for t in study.trials if t.params["units"] == 0]
    assert len({str(trial.params) for trial in failed}) == 4
    for trial in failed:
        assert trial.state is optuna.trial.TrialState.FAIL
        assert trial.user_attrs["error"] == "the value is nan after epoch 2"
        assert jobs_of(trial)[0].train_seconds == pytest.approx(30, abs=5)


def test_results_say_what_was_replayed(csv, tmp_path):
    run_on(csv, tmp_path)
    result = collect(open_storage(f"sqlite:///{tmp_path / 'replay.db'}"), "replay")
    assert result.data["data"] == "recorded trainings 'toy'; trained on toys"
    assert json.dumps(result.data)
    assert result.runs[0].test is not None


def test_a_table_that_is_replaced_meanwhile_is_replayed_as_it_was_read(csv):
    table = Table(csv, seed=2)
    configuration = {"units": 0, "activation": "relu", "rate": 0}
    before = curve(table, configuration)
    toy_table(csv, value=[number / 2 for number in columns()["value"]])
    assert curve(table, configuration) == before
    assert table.describe()["table_sha256"] != Table(csv).describe()["table_sha256"]


def test_another_table_under_the_same_name_is_refused(csv, tmp_path):
    run_on(csv, tmp_path)
    toy_table(csv, value=[number / 2 for number in columns()["value"]])
    with pytest.raises(HpoBenchError, match="table_sha256"):
        run_on(csv, tmp_path)


def test_a_shipped_table_is_found_by_its_name_and_is_whole():
    assert sorted(shipped()) == ["lenet5-cifar10-table", "lenet5-shapes"]
    table = Table("lenet5-shapes", clock="simulated")
    assert table.trainings.values.shape == (48, 3, 9)
    assert table.metric_name == "validation accuracy"
    described = table.describe()
    assert "generated data, not a real data set" in described["data"]
    assert described["recorded_trainings"] == 144
    values, measured = curve(table, {"c1": 3, "c3": 3, "c5": 2})
    assert values[-1] > values[0] > 0.1
    assert 0.5 < measured["test_accuracy"] <= 1
    assert table.search_space.keys() == {"c1", "c3", "c5"}


def test_the_shipped_table_of_cifar10_is_whole_and_says_what_it_is():
    table = Table("lenet5-cifar10-table", clock="simulated")
    assert table.trainings.values.shape == (256, 3, 9)
    assert "CIFAR-10 (JPEG copies)" in table.describe()["data"]
    levels = table.trainings.levels
    assert levels["c1"] == [3, 6, 12, 24]
    default = table.default
    assert {name: levels[name][place] for name, place in default.items()} == {
        "c1": 6,
        "c3": 16,
        "c5": 120,
        "f6": 84,
    }
    values, measured = curve(table, default)
    assert 0.2 < values[0] < values[-1] < 0.7
    assert 0.2 < measured["test_accuracy"] < 0.7


def test_a_table_that_unpacks_to_too_much_is_refused(tmp_path):
    path = tmp_path / "bomb.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(300):
            file.write(bytes(2**20))
    assert path.stat().st_size < 2**21
    with pytest.raises(HpoBenchError, match="more than the 256 MiB that it may have"):
        read(path)


def test_a_table_of_too_many_columns_is_refused(csv):
    first, header, *rows = csv.read_text().splitlines()
    wide = "," * 2_000
    csv.write_text("\n".join([first, header + wide, *(row + wide for row in rows)]))
    with pytest.raises(HpoBenchError, match=r"columns, and may have 1,000"):
        read(csv)


def test_a_parquet_file_of_a_value_a_hundred_million_times_is_refused(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "bomb.parquet"
    table = pyarrow.table({"x": pyarrow.nulls(100_000_000, pyarrow.int8())})
    parquet.write_table(table, path)
    assert path.stat().st_size < 2**20
    with pytest.raises(HpoBenchError, match="rows times its columns are more than 20,000,000"):
        read(path)


def test_a_card_of_a_billion_epochs_is_refused_before_it_is_filled(csv):
    first, rest = csv.read_text().split("\n", 1)
    content = json.loads(first[2:])
    content["max_fidelity"] = 10**9
    csv.write_text(f"# {json.dumps(content)}\n{rest}")
    with pytest.raises(HpoBenchError, match=r"1,000,000,000 epochs .* more than 20,000,000"):
        Table(csv)
