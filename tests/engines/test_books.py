"""What engines keep of the runs: which are to be begun, and which are not any more."""

import pytest

from hpo_bench.engines import base
from hpo_bench.engines.base import Books
from hpo_bench.running.runs import runs_of


class Silent:
    def status(self, run, status):
        pass

    def notice(self, text):
        pass


@pytest.fixture
def runs(toy_suite, tmp_path, monkeypatch):
    monkeypatch.setattr(base, "RETRY_SECONDS", 0.0)
    return runs_of(toy_suite(seeds=4), tmp_path)


@pytest.mark.parametrize("wait", [True, False])
def test_runs_of_others_are_tried_again(runs, wait):
    books = Books(runs[:1], Silent(), wait=wait)
    books.end(books.pending.popleft(), "taken", "somebody works on it")
    assert books.is_waiting(is_busy=False) == wait
    books.try_again()
    assert list(books.pending) == runs[:1]


def test_after_an_outage_nothing_is_begun_any_more(runs):
    books = Books(runs, Silent(), wait=True)
    taken, away, dropped = (books.pending.popleft() for _ in range(3))
    books.end(taken, "taken", "somebody works on it")
    books.end(away, "outage", "it does not answer")
    books.try_again()
    books.put_back(dropped)  # its worker has died
    assert not books.pending
    assert not books.is_waiting(is_busy=False)
    report = books.report()
    assert report.is_outage
    assert report.failures == {away.study_name: "it does not answer"}
    assert report.taken == {taken.study_name: "somebody works on it"}
    assert {run.study_name for run in report.unfinished} == {
        run.study_name for run in runs if run is not taken
    }
