import pickle

import pytest

from hpo_bench.errors import HpoBenchError, InputError, MissingExtraError
from hpo_bench.text import without_passwords


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
        ("host=h user=me password=pw dbname=b", "host=h user=me password=*** dbname=b"),
        ("host=h password = 'p w' user=me", "host=h password = *** user=me"),
        ("PGPASSWORD=pw cannot be used", "PGPASSWORD=*** cannot be used"),
        ("{'password': 'p w', 'user': 'me'}", "{'password': ***, 'user': 'me'}"),
        ('{"api_token": "pw", "n": 3}', '{"api_token": ***, "n": 3}'),
        ('password = "pw"', "password = ***"),
        ("to me:pw@host/b it is", "to me:***@host/b it is"),
        ("max_tokens = 5, password: expected another", None),
        ("package:Class and a: b@c, 12:30", None),
        ("like sqlite:///a.db or postgresql+psycopg://user@host/name", None),
        ("http://127.0.0.1:8080/x?y=1 and me@host", None),
    ],
)
def test_passwords_are_left_out_and_nothing_else(text, shown):
    assert without_passwords(text) == (shown or text)
    assert str(InputError("field", "value", text)).endswith(shown or text)


@pytest.mark.parametrize(
    "typed",
    [
        "postgresql://me:SE CRET@host/b",
        "postgresql://me:SE@CR ET@host/b",
        "postgresql+psycopg://me:12/SE CRET@host/b",
        "postgresql://host/b?user=me&password=SE CRET",
        "host=h user=me password=SECRET dbname=b",
        "host=h user=me password='SE CRET' dbname=b",
        "host=h password = SE CRET user=me",
        "me:SECRET@host/b",
        "me:SE CRET@host/b",
        'password="SECRET"',
        "\nhost=h\npassword=SECRET",
    ],
)
def test_a_value_that_holds_a_password_is_shown_without_it(typed):
    told = str(InputError("suite", typed, "expected a suite"))
    assert "***" in told
    for part in ("SE", "CR", "ET"):
        assert part not in told


class Mute:
    def __repr__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    "value", ["x" * 10**7, "\x1b" * 10**6, ["x"] * 10**6, Mute(), b"\xff" * 10**6]
)
def test_a_value_is_cut_and_does_nothing_to_a_terminal(value):
    told = str(InputError("field", value, "expected less"))
    assert len(told) < 1000
    assert "\x1b" not in told
    assert told.startswith("field: ")
    assert told.endswith("cannot be used; expected less")


def test_an_error_keeps_its_lines_and_shows_what_others_wrote_as_it_stands():
    told = str(HpoBenchError("two\nlines of \x1b]0;a title\x07\u202e"))
    assert told == "two\nlines of \\x1b]0;a title\\x07\\u202e"
