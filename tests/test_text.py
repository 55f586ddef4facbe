"""What others have written is shown on a terminal, and does nothing there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_bench.text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, with ä, 漢字, ± and 🎉", "plain, with ä, 漢字, ± and 🎉"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("a\rb\x00c\x7f", r"a\rb\x00c\x7f"),
        ("two\nlines\tand a tab", r"two\nlines\tand a tab"),
        ("\u202ecod.exe", r"\u202ecod.exe"),
        ("\u2066x\u2069", r"\u2066x\u2069"),
        ("a\u200bb\ufeff", r"a\u200bb\ufeff"),
        ("\u2028", r"\u2028"),
        ("caf\udce9", r"caf\udce9"),
        ("\U000e0041", r"\U000e0041"),
        ("12\u202f000\u00a0km", "12\u202f000\u00a0km"),
        ("[/b] [link=http://x]y[/link]", "[/b] [link=http://x]y[/link]"),
        (None, "None"),
        (1.5, "1.5"),
    ],
)
def test_what_cannot_be_seen_shows_as_its_escape(text, shown):
    assert printable(text) == shown


def test_lines_are_kept_where_they_are_wanted():
    assert printable("a\n\tb\x1b", lines=True) == "a\n\tb\\x1b"


def test_a_long_text_is_cut():
    assert printable("x" * 100, 10) == "x" * 9 + "…"
    assert printable("x" * 10, 10) == "x" * 10
    assert printable("x" * 100_000, None) == "x" * 100_000
    assert len(printable("\0" * 10**6)) < 10_000


def test_what_fails_to_say_what_it_is_is_shown_too():
    class Mute:
        def __str__(self):
            raise ValueError

    assert printable(Mute()) == "<a Mute that cannot be shown: ValueError>"


@given(st.text(st.characters()))
def test_whatever_the_text_what_is_shown_can_be_printed(text):
    for shown in (printable(text), printable(text, lines=True)):
        shown.encode()
        assert not {c for c in shown if not c.isprintable()} - set("\u00a0\u2007\u202f\u3000\n\t")
        assert "\n" not in printable(text)
