"""Promotions by hand, and what holds whatever the losses and the order of their arrival."""

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_bench.schedulers.rungs import (
    Asynchronous,
    Bracket,
    Contender,
    Synchronous,
    halving,
    hyperband,
    ladder,
)

OUT = {"is_out": True}
GONE = {"is_dropped": True}


def contenders(*described):
    """Each a list of losses, or losses with what else is known."""
    return [
        Contender(list(one[0]), **one[1]) if isinstance(one, tuple) else Contender(list(one))
        for one in described
    ]


@pytest.mark.parametrize(
    ("lowest", "highest", "eta", "expected"),
    [
        (1, 81, 3, (1, 3, 9, 27, 81)),
        (1, 200, 3, (2, 7, 22, 66, 200)),
        (5, 100, 3, (11, 33, 100)),
        (1, 9, 2, (1, 2, 4, 9)),
        (1, 2, 3, (2,)),
    ],
)
def test_a_ladder_ends_at_the_highest_fidelity(lowest, highest, eta, expected):
    assert ladder(lowest, highest, eta) == expected


def test_brackets_are_those_of_the_paper():
    # Li et al. 2018, algorithm 1 with R = 81 and eta = 3: n = 81, ceil(5 / 4 * 27), ...
    found = hyperband(ladder(1, 81, 3), 3)
    assert [bracket.sizes for bracket in found] == [
        (81, 27, 9, 3, 1),
        (34, 11, 3, 1),
        (15, 5, 1),
        (8, 2),
        (5,),
    ]
    assert [bracket.fidelities[0] for bracket in found] == [1, 3, 9, 27, 81]
    assert halving(9, (1, 3, 9), 3) == Bracket((9, 3, 1), (1, 3, 9))
    assert halving(9, (1, 3, 9), 3).epochs == 9 * 1 + 3 * 2 + 1 * 6


def test_a_rung_is_decided_when_all_have_come_to_it():
    schedule = Synchronous([Bracket((3, 1), (1, 3))])
    assert schedule.decide(contenders([0.3], [0.1])).promoted == []
    assert schedule.decide(contenders([0.3], [0.1], ([], OUT))).promoted == []
    done = schedule.decide(contenders([0.3], [0.1], [0.2]))
    assert (done.promoted, done.dropped) == ([1], [2, 0])
    # It is promoted once; no other takes its place if it fails.
    gone_on = schedule.decide(contenders(([0.3], GONE), ([0.1], OUT), ([0.2], GONE)))
    assert (gone_on.promoted, gone_on.dropped) == ([], [])
    # Who failed is not promoted; of equals, the one that started first is.
    tied = schedule.decide(contenders(([math.inf], GONE), [0.2], [0.2]))
    assert (tied.promoted, tied.dropped) == ([1], [2])
    # Nobody else will start: what is there is decided.
    assert schedule.decide(contenders([0.3], [0.1]), is_last=True).promoted == [1]


def test_brackets_take_turns_and_the_oldest_is_served_first():
    schedule = Synchronous([Bracket((2, 1), (1, 3)), Bracket((1,), (3,))])
    assert [schedule.place_of(number) for number in range(4)] == [
        (0, (1, 3)),
        (0, (1, 3)),
        (1, (3,)),
        (2, (1, 3)),
    ]
    several = contenders([0.2], [0.1], [0.5], [0.4], [0.3])
    assert schedule.decide(several).promoted == [1, 4]


def test_asha_promotes_the_best_third_of_those_that_are_there():
    schedule = Asynchronous((1, 3, 9), 3, patience=100)
    assert schedule.decide(contenders([0.3], [0.1])).promoted == []  # a third of two is nobody
    assert schedule.decide(contenders([0.3], [0.1], [0.2])).promoted == [1]
    assert schedule.decide(contenders([0.3], ([0.1], OUT), [0.2])).promoted == []
    six = contenders([0.3], [0.1, 0.1], [0.2], [0.5], [0.4], [0.6])
    assert schedule.decide(six).promoted == [2]
    # The highest rung comes first: of three there, the best one.
    nine = contenders([0.3, 0.3], [0.1, 0.2], [0.2, 0.1], [0.5], [0.4], [0.6], [0.0], [0.7], [0.8])
    assert schedule.decide(nine).promoted == [2, 6]
    # A failure counts among those that are there, and is promoted never.
    assert schedule.decide(contenders(([math.inf], GONE), [0.2], [0.4])).promoted == [1]


def test_asha_drops_who_has_waited_for_too_many():
    schedule = Asynchronous((1, 3), 3, patience=2)
    assert schedule.decide(contenders([0.3], [0.1], [0.2])).dropped == [0]
    assert schedule.decide(contenders([0.1], [0.3], [0.2])).dropped == []  # it is to be promoted
    assert schedule.decide(contenders([0.3], ([], OUT), [0.2])).dropped == []
    assert schedule.decide(contenders([0.3], [0.1]), is_last=True).dropped == [0, 1]


SCHEDULES = {
    "halving": Synchronous([halving(9, (1, 3, 9), 3)]),
    "hyperband": Synchronous(hyperband((1, 2, 4), 2)),
    "asha": Asynchronous((1, 3, 9), 3, patience=4),
}


def simulate(schedule, draw, n_workers, n_jobs):
    """Work on jobs that end in any order; some fail. Gives contenders and promotions."""
    found, out, promotions = [], [], []
    for _ in range(n_jobs):
        while len(out) < n_workers:
            decision = schedule.decide(found)
            assert not set(decision.promoted) & set(decision.dropped)
            for place in decision.dropped:
                assert not found[place].is_out
                found[place].is_dropped = True
            if decision.promoted:
                place = decision.promoted[0]
                rung = len(found[place].losses) - 1
                losses = sorted(c.losses[rung] for c in found if len(c.losses) > rung)
                promotions.append((place, rung, losses))
            else:
                place = len(found)
                found.append(Contender())
            found[place].is_out = True
            out.append(place)
        place = out.pop(draw(st.integers(0, len(out) - 1)))
        loss = draw(st.sampled_from([*range(12), math.inf]))
        one = found[place]
        one.is_out = False
        one.losses.append(float(loss))
        rungs = schedule.place_of(place)[1]
        assert len(one.losses) <= len(rungs)
        one.is_dropped = one.is_dropped or loss == math.inf or len(one.losses) == len(rungs)
    return found, promotions


@settings(max_examples=40, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(SCHEDULES)), n_workers=st.integers(1, 4))
def test_nobody_goes_further_than_the_reduction_allows(data, name, n_workers):
    schedule = SCHEDULES[name]
    found, promotions = simulate(schedule, data.draw, n_workers, n_jobs=60)
    # Each is promoted from a rung once, and finite losses alone.
    assert max(Counter((place, rung) for place, rung, _ in promotions).values(), default=1) == 1
    assert all(math.inf not in c.losses[:-1] for c in found)
    if name == "asha":
        for place, rung, losses in promotions:
            best = losses[: len(losses) // 3]
            assert found[place].losses[rung] <= best[-1]
        return
    spent = Counter()
    for place, contender in enumerate(found):
        bracket, _ = schedule.place_of(place)
        for rung in range(len(contender.losses)):
            spent[bracket, rung] += 1
    for (bracket, rung), count in spent.items():
        allowed = schedule.cycle[bracket % len(schedule.cycle)]
        assert count <= allowed.sizes[rung]
        assert rung == 0 or count <= spent[bracket, rung - 1]
