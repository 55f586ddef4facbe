import pytest
from sharing import Suite


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What the suite finds if nothing happens to it."""
    with Suite(tmp_path_factory.mktemp("undisturbed")) as suite:
        suite.finish(suite.start("run", "--workers", "2"))
        return suite.told()


@pytest.fixture
def suite(tmp_path):
    with Suite(tmp_path) as made:
        yield made
