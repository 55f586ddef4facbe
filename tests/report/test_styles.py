"""Colours stand apart from each other, and text and lines from their ground, for everybody."""

import re
from importlib.resources import files
from itertools import combinations

import numpy as np
import pytest

from hpo_bench.report.styles import _KNOWN, COLOURS, NEUTRAL, style_of

TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
SEEN = {
    # Machado, Oliveira and Fernandes 2009, severity 1, in linear RGB.
    "normal": np.eye(3),
    "protanope": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranope": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanope": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def linear(colour):
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIELAB of linear RGB, by the white of sRGB."""
    xyz = TO_XYZ @ np.clip(rgb, 0, 1) / TO_XYZ.sum(axis=1)
    x, y, z = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(one, other):
    """WCAG 2.1, relative luminances."""
    low, high = sorted(float(TO_XYZ[1] @ linear(colour)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def themes():
    """The colours of the page, by theme; a dark one is there for the system and for the button."""
    text = (files("hpo_bench.report") / "assets" / "page.css").read_text()
    blocks = re.findall(r"\{([^{}]*--ground:[^{}]*)\}", text)
    return [dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in blocks]


@pytest.mark.parametrize("sight", SEEN)
def test_no_two_colours_look_alike(sight):
    seen = [lab(SEEN[sight] @ linear(colour)) for colour in COLOURS]
    apart = {(a, b): np.linalg.norm(seen[a] - seen[b]) for a, b in combinations(range(7), 2)}
    assert min(apart.values()) > 13, min(apart, key=apart.get)


def test_text_and_lines_stand_out_from_their_ground_in_both_themes():
    light, *dark = themes()
    assert len(dark) == 2
    assert dark[0] == dark[1]
    for theme in (light, dark[0]):
        for ground in (theme["ground"], theme["shade"]):
            for text in ("ink", "faint", "accent"):
                assert contrast(theme[text], ground) >= 4.5, (text, ground)
        for colour in (*COLOURS, NEUTRAL):
            assert contrast(colour, theme["ground"]) >= 3.0, (colour, theme["ground"])


def test_a_method_looks_the_same_in_every_report_whatever_stands_beside_it():
    known = list(_KNOWN.values())
    assert len({style.colour for style in known}) == len(known)
    assert len({(style.dash, style.marker) for style in known}) >= len(known) - 1
    names = [f"method-{n}" for n in range(50)]
    assert [style_of(name) for name in names] == [style_of(name) for name in reversed(names)][::-1]
    assert len({style_of(name) for name in names}) > 35
    usual = {style_of(name).colour for name in ("random", "grid", "pso", "bohb")}
    assert usual.isdisjoint(style_of(name).colour for name in names)
