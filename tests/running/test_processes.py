import os
import signal
import time

import pytest
from offspring import answer

from hpo_bench.running.processes import Child, speaking


@pytest.fixture
def child():
    made = Child(answer, "child")
    yield made
    made.kill()


def hear(child):
    assert speaking([child], timeout=30), "it does not answer"
    return child.receive()


def test_what_a_worker_starts_can_be_terminated(child):
    child.send("go")
    kind, (codes, squares, seconds) = hear(child)
    assert kind == "ended"
    assert codes == [-signal.SIGTERM, -signal.SIGTERM]
    assert squares == [1, 2]
    assert seconds < 30


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_itself_leaves_only_when_it_is_told_to(child, number):
    child.send("go")
    hear(child)
    os.kill(child.process.pid, number)
    time.sleep(0.2)
    child.send("go")
    assert hear(child)[0] == "ended"
    child.send("stop")
    child.process.join(timeout=30)
    assert child.process.exitcode == 0
