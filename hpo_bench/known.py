"""What is known before any library is imported: the suites that are shipped, and two defaults."""

from __future__ import annotations

from importlib.resources import files

DEFAULT_STORAGE = "sqlite:///hpo-bench.db"

MAX_SEEDS = 10_000


def shipped() -> dict[str, str]:
    """The suites that come with the package: name -> TOML text."""
    folder = files("hpo_bench") / "suites"
    found = {f.name.removesuffix(".toml"): f for f in folder.iterdir() if f.name.endswith(".toml")}
    return {name: found[name].read_text(encoding="utf-8") for name in sorted(found)}
