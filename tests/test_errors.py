import pickle

import pytest

from hpo_bench.errors import HpoBenchError, InputError, MissingExtraError


@pytest.mark.parametrize(
    "error",
    [
        HpoBenchError("said"),
        InputError("field", 3, "expected less"),
        MissingExtraError("a feature", "lenet5", "torch"),
    ],
)
def test_errors_come_out_of_other_processes_as_they_are(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
