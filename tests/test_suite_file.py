import time
from copy import deepcopy
from datetime import date

import pytest

from hpo_bench import suite
from hpo_bench.errors import HpoBenchError, InputError

GOOD = {
    "name": "mine",
    "objective": {"name": "toy:Curve", "options": {"epochs": 3}},
    "budget": {"epochs": 30},
    "methods": {"random": {}, "grid": {}, "tpe": {"sampler": "optuna.samplers:TPESampler"}},
}


def changed(dotted, value):
    table = deepcopy(GOOD)
    suite.set_key(table, dotted, value)
    return table


def test_a_good_suite_is_read_and_can_be_built():
    mine = suite.parse(GOOD)
    assert mine.seeds == [0, 1, 2]
    assert mine.check()[:1] == [
        "grid: its 81 points are more than the 10 that the budget allows; "
        "a sample of them is tried, in an order drawn by the seed"
    ]


def test_a_method_that_would_never_search_is_told_of():
    small = suite.parse(changed("methods", {"tpe": {}}))  # ten evaluations
    assert small.check() == [
        "tpe: its first 10 configurations are spread over the space before it searches, and the "
        "budget allows 10: it will not search at all; give it a larger budget, or fewer such "
        "configurations (options: n_startup_trials; of pso swarm_size, of ga population_size, of "
        "cma-es popsize, of bohb min_points_in_model)"
    ]
    fitted = suite.parse(changed("methods", {"tpe": {"options": {"n_startup_trials": 4}}}))
    assert fitted.check() == []


def test_a_sampler_may_have_a_number_by_the_name_of_its_startup_trials(monkeypatch):
    monkeypatch.setattr("toy.Keywords.n_startup_trials", 99, raising=False)
    spec = {"sampler": "toy:Keywords", "options": {"n_startup_trials": 9}}
    assert suite.parse(changed("methods", {"mine": spec})).check() == []


@pytest.mark.parametrize("name", suite.shipped())
def test_every_method_of_a_suite_that_is_shipped_has_the_budget_to_search(name):
    for made in suite.load_all(name):
        assert not any("will not search" in note for note in made.check())


def test_a_number_of_seeds_stands_for_the_first_ones():
    assert suite.parse(GOOD | {"seeds": 4}).seeds == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("key", "value", "parts"),
    [
        ("budget.epoch", 3, ["budget.epoch", "no such key", "did you mean 'epochs'"]),
        ("budget.epochs", 0, ["budget.epochs", "0", "greater than 0"]),
        ("budget.epochs", "many", ["budget.epochs", '"many"', "integer"]),
        ("methods.random.option", {}, ["methods.random.option", "did you mean 'options'"]),
        ("objectives", {}, ["objectives", "did you mean 'objective'"]),
        ("objective", {}, ["objective: {}", 'expected one of name = "lenet5"', "command = "]),
        ("objective.command", "sh train.sh", ["objective: ", "expected one of name"]),
        ("objective.function", "functions:smooth", ["objective: ", "expected one of name"]),
        ("objective", {"function": "smooth"}, ['objective.function: "smooth"', "module:function"]),
        ("objective", {"command": "sh '"}, ['objective.command: "sh \'"', "No closing quotation"]),
        ("objective.direction", "up", ["objective.direction", "'minimize' or 'maximize'"]),
        ("objective.direction", "maximize", ["objective: ", "leave direction out"]),
        (
            "objective",
            {"command": "sh train.sh", "options": {"direction": "maximize"}},
            ["objective: ", "direction stands beside options"],
        ),
        ("objectivs", {}, ["objectivs", "did you mean 'objectives'"]),
        ("objective.options.day", date(2026, 11, 25), ["objective.options: ", "as a string"]),
        ("budget", 3, ["budget: 3", "a table"]),
        ("name", "a/b", ["name", '"a/b"', "expected letters, digits"]),
        ("name", "n" * 201, ["name", "at most 200"]),
        ("name", date(2026, 11, 25), ["name: 2026-11-25 cannot", "string"]),
        ("methods.a b", {}, ["methods.a b: ", "expected letters, digits"]),
        ("space", 3, ["space: 3 cannot", "a table; or a valid string"]),
        ("seeds", -1, ["seeds: -1", "from 1 to 10000"]),
        ("seeds", 100_000, ["seeds: 100000", "from 1 to 10000"]),
        ("seeds", [], ["seeds", "at least 1"]),
        ("seeds", [-1], ["seeds.0", "-1", "greater than or equal to 0"]),
        ("methods", {}, ["methods", "at least 1"]),
        ("workers", -1, ["workers: -1", "equal to 0; or 'auto'"]),
        ("workers", True, ["workers"]),
        ("budget.seconds", float("inf"), ["budget.seconds", "finite"]),
        ("budget.epochs", True, ["budget.epochs", "integer"]),
        ("methods.tpe.method", "random", ["methods.tpe", "method or sampler, not both"]),
        ("methods.random.pruner_options", {"a": 1}, ["methods.random", "need a pruner"]),
    ],
)
def test_a_fault_in_the_file_names_field_value_and_what_is_right(key, value, parts):
    with pytest.raises(HpoBenchError) as caught:
        suite.parse(changed(key, value))
    for part in parts:
        assert part in str(caught.value)


def test_a_budget_without_a_limit_is_refused():
    with pytest.raises(HpoBenchError, match="expected a limit: epochs, evaluations or seconds"):
        suite.parse(GOOD | {"budget": {"target": 0.5}})


def test_all_faults_are_told_at_once():
    with pytest.raises(HpoBenchError) as caught:
        suite.parse(GOOD | {"seeds": [], "workers": 0, "typo": 1})
    assert all(name in str(caught.value) for name in ("seeds", "workers", "typo"))


@pytest.mark.parametrize(
    ("key", "value", "parts"),
    [
        ("objective.name", "lenet", ["objective.name", "did you mean 'lenet5'"]),
        ("objective.name", "nowhere:X", ["objective.name", "no module 'nowhere'"]),
        ("objective.name", "toy:Nothing", ["objective.name", "has no attribute 'Nothing'"]),
        ("objective.options.epoch", 3, ["objective.options.epoch", "did you mean 'epochs'"]),
        ("space", {"z": 1}, ["space", "'z'", "allowed: x, y"]),
        ("space", {"x": {"low": 4, "high": 1}}, ["space.x", "low must not be greater than high"]),
        ("space", {"x": 1, "y": 1}, ["space", "nothing is left to search"]),
        ("methods", {"pos": {}}, ["methods.pos", "did you mean 'pso'"]),
        ("methods.random.options", {"sed": 1}, ["methods.random.options.sed", "allowed:"]),
        ("methods.tpe.sampler", "optuna.samplers:TPE", ["methods.tpe", "has no attribute 'TPE'"]),
        ("methods.tpe.sampler", "toy:Curve", ["methods.tpe", "expected a sampler or a search"]),
        ("methods.tpe.pruner", "toy:Curve", ["methods.tpe.pruner", "expected an Optuna pruner"]),
        ("methods.grid.options", {"values": {"x": [9]}}, ["values.x", "9"]),
        ("methods.grid.options", {"levels": {"z": 2}}, ["levels", "'z'", "allowed: x, y"]),
        ("seeds", [1, 1], ["seeds", "each seed once"]),
        ("space", {}, ["space", "nothing is left to search"]),
        ("methods.grid.options", {"values": {"x": 4}}, ["methods.grid.options.values.x", "a list"]),
        ("methods.grid.options", {"values": {"y": [0.5]}}, ["values.y: 0.5", "in steps of 1.0"]),
        ("methods.grid.options", {"shuffle": "no"}, ["methods.grid.options.shuffle", "true or"]),
        ("objective", {"name": "builtins:dict"}, ["objective.name", "search_space"]),
        ("objective", {"command": "sh {z}"}, ["space: None", "expected a table"]),
        ("objective", {"function": "functions:gone"}, ["objective.function", "'gone'"]),
        ("objective", {"function": "nowhere:f"}, ["objective.function", "no module 'nowhere'"]),
        ("objective", {"function": "functions:smooth"}, ["methods.grid", "in [space]"]),
        (
            "objective",
            {"function": "functions:smooth", "options": {"step": 9}},
            ["objective.options.step", "did you mean 'steps'"],
        ),
        (
            "objective",
            {"command": "sh {z}", "options": {"step": 3}},
            ["objective.options.step", "did you mean 'steps'"],
        ),
    ],
)
def test_what_cannot_be_built_is_told_before_anything_runs(key, value, parts):
    with pytest.raises(HpoBenchError) as caught:
        suite.parse(changed(key, value)).check()
    for part in parts:
        assert part in str(caught.value)


def test_bohb_is_not_compared_at_fewer_epochs():
    table = changed("methods", {"bohb": {"options": {"max_epochs": 1}}})
    with pytest.raises(HpoBenchError, match=r"methods\.bohb\.options\.max_epochs: 1 .*expected 3"):
        suite.parse(table).check()


def test_a_sampler_that_hands_its_keywords_on_can_be_used():
    table = changed(
        "methods",
        {"mine": {"sampler": "toy:Keywords", "options": {"own": 2, "n_startup_trials": 9}}},
    )
    assert suite.parse(table).check() == []
    table["methods"]["mine"]["options"] = {"n_startup_trails": 3}
    with pytest.raises(HpoBenchError, match="did you mean 'n_startup_trials'"):
        suite.parse(table).check()


def test_grid_over_a_continuous_range_asks_for_values_or_levels():
    table = changed("space", {"y": {"low": 0.0, "high": 1.0}}) | {"methods": {"grid": {}}}
    with pytest.raises(HpoBenchError, match=r"methods\.grid.*'?y'?.*levels"):
        suite.parse(table).check()


def test_a_grid_smaller_than_the_budget_says_what_stays_unspent():
    table = changed("budget.epochs", 300) | {"methods": {"grid": {}}}
    (notice,) = suite.parse(table).check()
    assert "81 points are fewer than the 100 evaluations" in notice
    assert "19 of them stay unspent" in notice


def test_files_are_read_with_settings_laid_over_them(toy_file):
    path = toy_file(
        '[objective]\nname = "toy:Curve"\n[budget]\nepochs = 30\n[methods.random]\n', name="mine"
    )
    mine = suite.load(str(path), {"budget.epochs": 60, "objective.options.epochs": 9})
    assert (mine.name, mine.budget.epochs) == ("mine", 60)
    assert mine.build_objective(0).max_fidelity == 9


def test_a_file_that_is_asked_for_without_its_ending_is_told(toy_file, tmp_path, monkeypatch):
    toy_file("", name="mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"did you mean 'mine\.toml'"):
        suite.load_all("mine")


def test_the_mark_that_some_editors_put_before_a_file_is_no_fault(tmp_path):
    path = tmp_path / "quickstart.toml"
    path.write_text(suite.shipped()["quickstart"], encoding="utf-8-sig")
    assert suite.load(str(path)) == suite.load("quickstart")


def test_several_objectives_are_not_laid_over_one():
    with pytest.raises(HpoBenchError, match="expected objective or objectives, not both"):
        suite.load_all("quickstart", {"objectives.a": {"name": "toy:Curve"}})


def test_broken_files_are_told_as_such(toy_file, tmp_path):
    with pytest.raises(HpoBenchError, match=r"not valid TOML.*line 1"):
        suite.load(str(toy_file("a = = b")))
    with pytest.raises(HpoBenchError, match="it cannot be read"):
        suite.load(str(tmp_path / "nothing.toml"))
    with pytest.raises(HpoBenchError, match="did you mean 'quickstart'"):
        suite.load("quickstrt")


@pytest.mark.parametrize("name", [name for name in suite.shipped() if name != "tables"])
def test_shipped_suites_can_be_built_and_their_grids_fill_the_budget(name):
    shipped = suite.load(name)
    assert shipped.name == name
    assert shipped.description
    assert {"grid", "random", "pso", "bohb"} <= set(shipped.methods)
    assert shipped.check() == []


def test_the_shipped_tables_can_be_built():
    tables = suite.load_all("tables")
    assert len(tables) == 10
    for table in tables:
        assert len(table.methods) >= 4
        assert len(table.seeds) == 30
        assert table.build_objective(0).is_simulated
    assert tables[-1].check() == []


SEVERAL = """
seeds = 2
budget = { epochs = 30 }
[objectives.low]
name = "toy:Curve"
options = { epochs = 3 }
[objectives.high]
name = "toy:Curve"
options = { epochs = 9 }
[methods.random]
"""


def test_several_objectives_are_a_suite_each(toy_file):
    low, high = suite.load_all(str(toy_file(SEVERAL, name="both")))
    assert (low.name, high.name) == ("both.low", "both.high")
    assert (low.build_objective(0).max_fidelity, high.build_objective(0).max_fidelity) == (3, 9)
    assert low.model_copy(update={"name": high.name, "objective": high.objective}) == high


def test_settings_are_laid_over_all_of_them_or_over_one(toy_file):
    path = str(toy_file(SEVERAL, name="both"))
    changes = {"seeds": 5, "name": "mine", "objectives.low.options.epochs": 4}
    low, high = suite.load_all(path, changes, ["low", "high"])
    assert (low.name, len(low.seeds), len(high.seeds)) == ("mine.low", 5, 5)
    assert low.objective.options["epochs"] == 4
    both = suite.load_all(path, {"objective.options.epochs": 7})
    assert [one.objective.options["epochs"] for one in both] == [7, 7]
    (only,) = suite.load_all(path, only=["high"])
    assert only == suite.load_all(path)[1]


ONE = """
budget = { epochs = 30 }
[objectives.only]
name = "toy:Curve"
[methods.random]
"""


@pytest.mark.parametrize(
    ("text", "only", "parts"),
    [
        (SEVERAL, ["lo"], ["--objectives", "'lo'", "did you mean 'low'"]),
        (SEVERAL + '[objective]\nname = "toy:Curve"', None, ["objective or objectives, not both"]),
        (ONE.replace("objectives.only", "objective"), ["low"], ["--objectives", "one objective"]),
        (
            ONE.replace('[objectives.only]\nname = "toy:Curve"', "[objectives]"),
            None,
            ["objectives"],
        ),
        (SEVERAL.replace("options = { epochs = 9 }", "option = 1"), None, ["objective.option"]),
        (SEVERAL.replace("objectives.low", 'objectives."l/w"'), None, ["name", "both.l/w"]),
    ],
)
def test_faults_in_several_objectives_are_told(toy_file, text, only, parts):
    with pytest.raises(HpoBenchError) as caught:
        suite.load_all(str(toy_file(text, name="both")), only=only)
    assert all(part in str(caught.value) for part in parts), caught.value


def test_where_one_objective_is_needed_several_are_refused(toy_file):
    assert suite.load(str(toy_file(ONE, name="one"))).name == "one.only"
    with pytest.raises(HpoBenchError, match=r"both.low.*both.high.*expected one"):
        suite.load(str(toy_file(SEVERAL, name="both")))


def test_where_data_lie_is_no_part_of_what_a_run_is():
    here = suite.parse(changed("objective.options", {"data_dir": "/here"}))
    there = suite.parse(changed("objective.options", {"data_dir": "/there"}))
    assert here.definition("random") == there.definition("random")


def test_more_workers_than_sqlite_holds_are_refused(toy_suite, monkeypatch):
    toy_suite(workers=32).check()
    with pytest.raises(InputError, match=r"workers: 33 .*SQLite file holds 32.*postgresql"):
        toy_suite(workers=33).check()
    toy_suite(workers=33, storage="postgresql+psycopg://me@host/database").check()
    monkeypatch.setattr("hpo_bench.suite.usable_cores", lambda: 100)
    suite = toy_suite(workers="auto")
    assert suite.n_workers == 32
    assert any("32 workers on 100 cores" in notice for notice in suite.check())


def test_parts_of_a_graphics_card_are_given_out_by_ray_alone(toy_suite):
    assert toy_suite(engine="ray", gpus_per_run=0.5).gpus_per_run == 0.5
    with pytest.raises(HpoBenchError, match="gpus_per_run are given out by the engine ray"):
        toy_suite(gpus_per_run=0.5)


def test_who_executes_a_run_is_no_part_of_what_it_is(toy_suite):
    ray = toy_suite(engine="ray", gpus_per_run=0.5, lease_seconds=10.0)
    assert ray.definition("random") == toy_suite().definition("random")


def test_paths_are_meant_from_where_the_suite_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = tmp_path.as_posix()
    table = {**GOOD, "storage": "sqlite:///a/my own.db"}
    table["objective"] = {"name": "lenet5", "options": {"data_dir": "../data", "data": "cifar10"}}
    made = suite.parse(table)
    assert made.storage == f"sqlite:///{place}/a/my own.db"
    assert made.objective.options == {"data_dir": f"{place}/../data", "data": "cifar10"}
    assert suite.parse(GOOD).storage == f"sqlite:///{place}/hpo-bench.db"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
        ("sqlite+pysqlite:///b.db?timeout=5", "sqlite+pysqlite:///HERE/b.db?timeout=5"),
        ("sqlite:///file:b.db?uri=true", "sqlite:///file%3AHERE/b.db?uri=true"),
        ("postgresql+psycopg://me:secret@host/b", "postgresql+psycopg://me:secret@host/b"),
        ("no url at all", "no url at all"),
        ("sqlite://", "sqlite://"),
    ],
)
def test_only_the_path_of_a_file_is_made_absolute(tmp_path, monkeypatch, given, read):
    monkeypatch.chdir(tmp_path)
    made = suite.parse({**GOOD, "storage": given})
    assert made.storage == read.replace("HERE", tmp_path.as_posix())


DEEP = "tables and lists may be nested 32 deep"


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        (".".join(["a"] * 20_000) + " = 1", DEEP),
        ("[" + " . ".join(['"a"'] * 20_000) + "]", DEEP),
        ("[objective.options]\n" + ".".join(["a"] * 40) + " = 1", DEEP),
        ("a = " + "[" * 100 + "]" * 100, DEEP),
        ("a = " + "{b = " * 100 + "1" + "}" * 100, DEEP),
        ("# " + "x" * 2**20, "expected 1 MiB at most"),
        ("seeds = 1000000000", "expected a number from 1 to 10000"),
        ("workers_per_run = 1000000000", "less than or equal to 1024"),
        ("\n".join(f"k{i} = 1" for i in range(5_000)), "and 4953 more"),
    ],
)
def test_a_bomb_is_refused_at_once_and_its_limit_named(tmp_path, text, limit):
    path = tmp_path / "bomb.toml"
    path.write_text(text)
    began = time.process_time()
    with pytest.raises(HpoBenchError) as told:
        suite.load(str(path))
    assert time.process_time() - began < 3
    assert limit in str(told.value)
    assert len(str(told.value)) < 21_000


@pytest.mark.parametrize("levels", [10**9, {"x": 10**9}, 1e9])
def test_a_grid_of_too_many_levels_is_refused_before_it_is_made(levels):
    with pytest.raises(HpoBenchError, match=r"levels: 1000000000.* expected 10,000 at most"):
        suite.parse(changed("methods", {"grid": {"options": {"levels": levels}}})).check()
