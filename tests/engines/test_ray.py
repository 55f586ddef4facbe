"""The engine Ray: on a cluster of several nodes, one of which is killed, and on one of its own."""

import os
import signal
from types import SimpleNamespace

import pytest
from sharing import SUPPORT, trained
from sockets import listening

from hpo_bench.engines import ray as engine
from hpo_bench.errors import InputError

pytest.importorskip("ray")

SLOW_RAY = """
def init(**_):
    raise Exception("The current node timed out during startup.")

def shutdown():
    pass
"""

HERE = {"node_ip_address": "127.0.0.1"}
"""Where the nodes of a test's cluster listen, and nowhere else."""


@pytest.fixture
def cluster(monkeypatch):
    """A cluster whose nodes are processes of this machine; its head executes nothing."""
    for name, value in {**engine.LOOPBACK, "PYTHONPATH": str(SUPPORT)}.items():
        monkeypatch.setenv(name, value)
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, **HERE}
    made = Cluster(initialize_head=True, head_node_args=head)
    yield made
    made.shutdown()


def test_a_node_that_is_killed_loses_nothing_and_nothing_is_counted_twice(
    suite, undisturbed, cluster
):
    process = suite.start("run", "--engine", "ray", "--address", cluster.address)
    # Ray connects the command to any node that has its address, which must not be the one to die.
    assert any("no machine of this cluster" in line for line in process.stdout)
    node = cluster.add_node(num_cpus=1, **HERE)
    suite.wait_for_units(12)
    cluster.remove_node(node, allow_graceful=False)
    cluster.add_node(num_cpus=1, **HERE)
    output = suite.finish(process)
    assert all(f"{name}: best" in output for name in undisturbed)
    assert suite.told() == undisturbed


def test_a_cluster_of_its_own_listens_here_alone_and_what_it_leaves_goes_on_without_it(
    suite, undisturbed
):
    process = suite.start("run", "--engine", "ray", "--workers", "2")
    suite.wait_for_units(12)
    heard_on = listening(process.pid)
    assert len(heard_on) > 2  # there is something to hear
    assert all(address.is_loopback for address in heard_on), heard_on
    os.kill(process.pid, signal.SIGTERM)
    assert "The same command goes on" in suite.finish(process, status=130)
    assert suite.holders() == {}
    suite.finish(suite.start("run"))
    assert suite.told() == undisturbed
    assert len(suite.units()) == trained(undisturbed)


def test_a_file_is_refused_where_the_cluster_has_several_machines():
    nodes = [{"NodeManagerAddress": f"10.0.0.{n}", "Alive": True} for n in (1, 2)]
    ray = SimpleNamespace(
        nodes=lambda: nodes, util=SimpleNamespace(get_node_ip_address=lambda: "10.0.0.1")
    )
    with pytest.raises(InputError, match="has 2 machines, which cannot share a file"):
        engine._check_storage(ray, "sqlite:///a.db")
    engine._check_storage(ray, "postgresql+psycopg://user@host/name")
    nodes[1]["Alive"] = False
    engine._check_storage(ray, "sqlite:///a.db")


@pytest.mark.parametrize(
    ("suite_says", "told"),
    [
        (
            {"workers_per_run": 8},
            ["workers_per_run = 8: no machine of this cluster"],
        ),
        ({"gpus_per_run": 0.5}, ["gpus_per_run = 0.5: no machine of this cluster"]),
        ({"workers_per_run": 4}, []),
    ],
)
def test_runs_for_which_no_machine_has_room_are_told(toy_suite, suite_says, told):
    nodes = [
        {"Alive": True, "Resources": {"CPU": 4.0}},
        {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
    ]
    heard = []
    watcher = SimpleNamespace(notice=heard.append)
    ray = SimpleNamespace(nodes=lambda: nodes)
    engine._check_room(ray, toy_suite(engine="ray", **suite_says), watcher)
    assert len(heard) == len(told)
    assert all(text in line for text, line in zip(told, heard, strict=True))


@pytest.mark.parametrize(
    ("address", "told"),
    [("127.0.0.1:1", "nothing answers there"), ("somewhere", "expected host:port")],
)
def test_an_address_where_nothing_answers_is_told_at_once(suite, address, told):
    output = suite.finish(suite.start("run", "--engine", "ray", "--address", address), status=2)
    assert f"--address: '{address}' cannot be used" in output
    assert told in output


@pytest.mark.parametrize(
    ("options", "status", "told"),
    [
        ((), 2, "Ray could not be started on this machine: Exception: The current node timed out"),
        (("--address", "auto"), 2, "--address: 'auto' cannot be used; no cluster of Ray answers"),
    ],
)
def test_ray_that_does_not_start_is_an_error_of_ours(suite, options, status, told):
    """A machine that is too busy cannot be had on demand; this Ray says what the real one does."""
    slow = suite.directory / "slow" / "ray"
    slow.mkdir(parents=True)
    (slow / "__init__.py").write_text(SLOW_RAY)
    process = suite.start("run", "--engine", "ray", *options, path=slow.parent)
    output = suite.finish(process, status=status)
    assert told in " ".join(output.split())
    assert "Traceback" not in output
    if not options:
        assert "the same command tries again" in " ".join(output.split())
