import optuna
import pytest
from optuna_dashboard import get_note, save_note
from written import write_run, write_suite

from hpo_bench.report.notes import write_notes


@pytest.fixture
def storage():
    made = optuna.storages.InMemoryStorage()
    write_suite(made, seeds=2)
    write_run(made, [], suite="other", finished=None)
    return made


def study(storage, name="written/pso/seed-01"):
    return optuna.load_study(study_name=name, storage=storage)


def test_every_study_says_how_it_stands(storage):
    assert write_notes(storage) == (5, [])
    note = get_note(study(storage))
    assert note.startswith("## pso, seed 1\n")
    assert "12 evaluations, 36 epochs; finished: epochs spent." in note
    assert f"**{study(storage).best_value:.4f}**" in note
    assert "| method | seeds |" in note
    assert "Nothing found yet." in get_note(study(storage, "other/random/seed-00"))


def test_notes_follow_the_runs_and_are_not_written_for_nothing(storage):
    write_notes(storage)
    assert write_notes(storage) == (0, [])
    study(storage, "other/random/seed-00").set_user_attr("finished", "nothing left to try")
    assert write_notes(storage) == (1, [])


def test_a_persons_own_note_is_left_alone(storage):
    write_notes(storage)
    save_note(study(storage), "Mine.")
    assert write_notes(storage) == (0, [])
    assert get_note(study(storage)) == "Mine."
