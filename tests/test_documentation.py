"""What the README and the documentation show, executed.

Python is run and suites are built, page by page in a directory of its own; a block whose first line
names a file (`# first.toml`) is that file for what follows. The commands of the tutorial and of the
how-to pages are run; those of other pages, which measure for hours or need a server, are parsed. So
is what follows a comment `<!-- not run: why -->`.
"""

import configparser
import contextlib
import importlib.util
import re
import runpy
import shlex
import sys
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
import pytest
from typer.main import get_command

import hpo_bench as hpo_bench_package
from hpo_bench import cli, suite

ROOT = Path(__file__).parents[1]
OUTSIDE = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
"""Pages that the documentation's own build does not see."""
PAGES = [*OUTSIDE, *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?P<mark>^<!-- not run: [^\n]+ -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```",
    re.MULTILINE | re.DOTALL,
)
LEAST = {
    "name": "page",
    "objective": {"name": "hpo_bench.conformance.problems:Bowl"},
    "budget": {"evaluations": 1},
    "methods": {"random": {}},
}


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    is_run: bool

    @property
    def file(self):
        """The file that its first line names."""
        found = re.match(r"# (\S+\.(?:py|toml))\b(?!,)", self.text)
        return found and found[1]


def blocks(page):
    found = (match.groupdict() for match in BLOCK.finditer(page.read_text()))
    return [Block(b["language"], b["text"], b["mark"] is None) for b in found]


def is_guide(page):
    return page.name == "tutorial.md" or page.parent.name == "how-to"


def commands(block):
    """The commands of a block, each a list of words, without comments."""
    for line in block.text.replace("\\\n", " ").splitlines():
        # shlex takes the # within a word for a comment, too.
        for part in re.sub(r"(^|\s)#.*", "", line).split("&&"):
            words = shlex.split(part)
            if words:
                yield words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("HPO_BENCH_DATA", str(tmp_path / "data"))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for block in blocks(page):
        if block.file:
            Path(block.file).write_text(block.text)
        {"python": python, "toml": toml, "sh": sh}.get(block.language, lambda *_: None)(
            block, monkeypatch, is_guide(page)
        )
    forget_modules_of(tmp_path)


@pytest.mark.parametrize("framework", ["lightning", "keras"])
def test_page_of_a_framework(framework, tmp_path, monkeypatch):
    """Importing one takes longer than all other pages: the tests do not install them."""
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed; tox run -e frameworks")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for block in blocks(ROOT / "docs" / "how-to" / f"{framework}.md"):
        Path(block.file or "commands.sh").write_text(block.text)
        run = {"python": python, "toml": toml, "sh": sh}[block.language]
        run(replace(block, is_run=True), monkeypatch, True)
    forget_modules_of(tmp_path)


@contextlib.contextmanager
def as_a_script():
    """Import from the working directory, as Python does from a script's; not so for a command."""
    sys.path.insert(0, str(Path().absolute()))
    try:
        yield
    finally:
        sys.path.remove(str(Path().absolute()))


def forget_modules_of(directory):
    for name, module in list(sys.modules.items()):
        if str(directory) in str(getattr(module, "__file__", "")):
            del sys.modules[name]


def python(block, monkeypatch, _is_guide):
    code = compile(block.text, block.file or "block", "exec")
    # In this process, which changes no result.
    for function in (hpo_bench_package.compare, hpo_bench_package.run):
        monkeypatch.setitem(function.__kwdefaults__, "workers", 0)
    if block.is_run:
        with as_a_script():
            exec(code, {"__name__": "block"})


def toml(block, _monkeypatch, _is_guide):
    table = tomllib.loads(block.text)
    if not set(table) <= {*suite.Suite.model_fields, "objectives"}:
        return  # of another kind: a part of a pyproject.toml
    several = table.pop("objectives", {"": table.get("objective", LEAST["objective"])})
    for objective in several.values():
        made = suite.parse({**LEAST, **table, "objective": objective})
        if block.is_run and {"objective", "methods"} <= set(table):
            with as_a_script():
                assert not any("will not search" in note for note in made.check())


def sh(block, monkeypatch, is_run):
    for words in commands(block):
        if words[0] == "hpo-bench":
            hpo_bench(words[1:], monkeypatch, is_run=is_run and block.is_run)
        elif words[:3] == ["tox", "run", "-e"]:
            assert set(words[3].split(",")) <= environments()
        elif words[:2] == ["python", "-m"] and words[2].startswith("benchmarks"):
            assert (ROOT / words[2].replace(".", "/")).with_suffix(".py").exists() or (
                ROOT / words[2].replace(".", "/")
            ).is_dir()
        for word in words:
            for extras in re.findall(r"^(?:\.|hpo-bench)\[([\w,]+)\]$", word):
                assert set(extras.split(",")) <= extras_there()


def hpo_bench(words, monkeypatch, *, is_run):
    """Run a command in this process, or see that it can be parsed."""
    if "<" in "".join(words) or not words or words[0].startswith("--"):
        return
    words = [word for word in words if word not in (">",)]
    words = words[: words.index("runs.csv")] if "runs.csv" in words else words
    if not is_run:
        one = get_command(cli.app).commands[words[0]]
        one.make_context(words[0], words[1:]).close()
        return
    if words[0] == "run" and "--workers" not in words:
        words = [*words, "--workers", "1"]  # which changes no result, and starts no process
    forget_modules_of(Path().absolute())
    monkeypatch.setattr(sys, "argv", ["hpo-bench", *words])
    with contextlib.suppress(SystemExit), pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code in (0, None), words


def environments():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "tox.ini")
    named = {name.removeprefix("testenv:") for name in parser.sections()}
    return named | {name.strip() for name in parser["tox"]["env_list"].split(",")}


def extras_there():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return set(project["optional-dependencies"])


def test_blocks_are_found_and_run():
    found = [block for page in PAGES for block in blocks(page)]
    run = [block for page in PAGES if is_guide(page) for block in blocks(page) if block.is_run]
    assert len(found) > 40
    assert sum(block.language == "sh" for block in run) > 8


def test_every_shipped_suite_is_listed():
    text = (ROOT / "README.md").read_text()
    assert all(f"| `{name}` |" in text for name in suite.shipped())


@pytest.mark.parametrize("page", OUTSIDE, ids=lambda page: page.name)
def test_links_lead_to_files_that_exist(page):
    found = re.findall(r"\]\(([^)#]+)", page.read_text())
    assert [link for link in found if "://" not in link and not (ROOT / link).exists()] == []


def test_the_picture_of_the_architecture_is_that_of_the_import_contract():
    drawn = runpy.run_path(str(ROOT / ".ci" / "architecture.py"))["picture"]()
    told = "run: python .ci/architecture.py > docs/architecture.svg"
    assert (ROOT / "docs" / "architecture.svg").read_text() == drawn, told


def test_the_page_on_the_architecture_names_modules_that_exist():
    named = re.findall(r"`(hpo_bench/[\w/.]+)`", (ROOT / "docs" / "architecture.md").read_text())
    assert len(named) > 10
    assert [path for path in named if not (ROOT / path).exists()] == []
