"""The README's own words, executed."""

import re
import tomllib
from pathlib import Path

import optuna
import pytest

from hpo_bench import suite

README = Path(__file__).parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", blocks("python"))
def test_python_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    exec(block, {})


def test_the_suite_can_be_built():
    text = next(block for block in blocks("toml") if "[objective]" in block)
    assert suite.parse({"name": "my-suite", **tomllib.loads(text)}).check() == []


def test_every_command_and_flag_exists(capsys):
    from typer.main import get_command

    from hpo_bench.cli import app

    command = get_command(app)
    shown = re.findall(r"^(?:hpo-bench) (\w+)([^#\n]*)", "\n".join(blocks("sh")), re.MULTILINE)
    assert len(shown) > 5
    for name, rest in shown:
        flags = {flag for parameter in command.commands[name].params for flag in parameter.opts}
        assert set(re.findall(r"--[\w-]+", rest)) <= flags


def test_every_shipped_suite_is_listed():
    text = README.read_text()
    assert all(f"| `{name}` |" in text for name in suite.shipped())
