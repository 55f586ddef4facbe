"""Defaults and shipped suites, which can be read before any slow library is imported."""

from __future__ import annotations

from importlib.resources import files

DEFAULT_STORAGE = "sqlite:///hpo-bench.db"
"""URL of the storage if the user names none: a file in the working directory."""

MAX_SEEDS = 10_000
"""Most seeds of a suite."""


def shipped() -> dict[str, str]:
    """Return the suites that come with the package: name -> TOML text, sorted by name."""
    folder = files("hpo_bench") / "suites"
    found = {f.name.removesuffix(".toml"): f for f in folder.iterdir() if f.name.endswith(".toml")}
    return {name: found[name].read_text(encoding="utf-8") for name in sorted(found)}
