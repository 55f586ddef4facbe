import pickle

import pytest

from hpo_bench.errors import HpoBenchError, InputError, MissingExtraError, without_passwords


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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:pw@host/b", "postgresql://me:***@host/b"),
        (
            "'postgresql://me:p@w/s:x@host/b' is, me@host",
            "'postgresql://me:***@host/b' is, me@host",
        ),
        ("postgresql://:pw@host/b", "postgresql://:***@host/b"),
        ("a://h/b?user=me&password=pw&x=1", "a://h/b?user=me&password=***&x=1"),
        ("'a://h/b?sslpassword=pw', b", "'a://h/b?sslpassword=***', b"),
        ("a://h/b?PASSFILE=pw#s", "a://h/b?PASSFILE=***#s"),
        ("like sqlite:///a.db or postgresql+psycopg://user@host/name", None),
        ("http://127.0.0.1:8080/x?y=1 and me@host", None),
    ],
)
def test_passwords_are_left_out_and_nothing_else(text, shown):
    assert without_passwords(text) == (shown or text)
    assert str(InputError("field", "value", text)).endswith(shown or text)
