import optuna
import pytest
from optuna_dashboard import get_note, save_note
from written import write_run, write_suite

from hpo_bench.analysis.results import collect
from hpo_bench.report.notes import write_notes
from hpo_bench.storage.studies import all_study_names, study_names


@pytest.fixture
def storage():
    made = optuna.storages.InMemoryStorage()
    write_suite(made, seeds=2)
    write_run(made, [], suite="other", finished=None)
    return made


def study(storage, name="written/pso/seed-01"):
    return optuna.load_study(study_name=name, storage=storage)


def test_every_study_says_how_it_stands(storage):
    assert write_notes(storage) == (7, [])
    note = get_note(study(storage))
    assert note.startswith("## pso, seed 1\n")
    assert "12 evaluations, 36 epochs; finished: epochs spent." in note
    assert f"**{study(storage).best_value:.4f}**" in note
    assert "| method | seeds |" in note
    assert "Nothing found yet." in get_note(study(storage, "other/random/seed-00"))


def test_a_suite_is_shown_as_a_whole_by_a_study_that_no_reader_takes_for_a_run(storage):
    write_notes(storage)
    note = get_note(study(storage, "written+summary"))
    assert note.startswith("## The suite written\n")
    assert "Its 4 runs are the studies whose names begin with written/." in note
    assert "| random | 2 | 0.7" in note
    assert study_names(storage) == sorted(s for s in all_study_names(storage) if "+" not in s)
    assert len(collect(storage, "written").runs) == 4


def test_notes_follow_the_runs_and_are_not_written_for_nothing(storage):
    write_notes(storage)
    assert write_notes(storage) == (0, [])
    study(storage, "other/random/seed-00").set_user_attr("finished", "nothing left to try")
    assert write_notes(storage) == (2, [])


def test_a_persons_own_note_is_left_alone(storage):
    write_notes(storage)
    save_note(study(storage), "Mine.")
    assert write_notes(storage) == (0, [])
    assert get_note(study(storage)) == "Mine."
