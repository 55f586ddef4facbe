"""What mkdocs does besides: reference pages made of the code, and equations as MathML.

MathML is shown by every current browser, so that no script has to be fetched for it.
"""

import ast
import json
import re
from functools import cache
from pathlib import Path

import griffe
import typer
from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

from hpo_bench import plugins, suite
from hpo_bench.budget import Budget
from hpo_bench.cli import app
from hpo_bench.objectives.lenet5 import PARAMETERS, SPACES
from hpo_bench.spaces import to_table
from hpo_bench.suite import MethodSpec, ObjectiveSpec, Suite


def _named(group):
    """What the package's own names in suites stand for, as it is imported."""
    own = [one for one in plugins.installed(group) if one.distribution.startswith("hpo-bench ")]
    return {one.name: one.path.replace(":", ".") for one in own}


OBJECTIVES = _named(plugins.OBJECTIVES)
METHODS = _named(plugins.METHODS)

WORKER = Path(__file__).with_name("iframe-worker.js")

TABLES = """\
/* A key, an option or a value is one word: it is not broken in its middle. */
.md-typeset table:not([class]) :is(td, th) > code { white-space: nowrap; word-break: normal; }
"""

TYPES = {
    "str": "text",
    "int": "whole number",
    "float": "number",
    "bool": "`true` or `false`",
    "dict": "table",
    "Name": "name",
    "ImportPath": "text",
    "Options": "table",
    "Seeds": "list of whole numbers",
    "ObjectiveSpec": "table `[objective]`",
    "Budget": "table `[budget]`",
}
"""What the types of the models are called in TOML."""

BOUNDS = {"ge": "at least {}", "gt": "above {}", "le": "at most {}", "min_length": "not empty"}

PYTHON = {
    "Comparing": [
        "hpo_bench.api.running.compare",
        "hpo_bench.api.running.run",
        "hpo_bench.api.running.load",
        "hpo_bench.api.found.results",
        "hpo_bench.api.found.Results",
        "hpo_bench.api.found.Best",
    ],
    "Samplers": [
        "samplers.GridSampler",
        "samplers.RandomSampler",
        "samplers.PSOSampler",
        "samplers.BOHBSampler",
    ],
    "Objectives": [
        "hpo_bench.objectives.Objective",
        "hpo_bench.objectives.Evaluation",
        "hpo_bench.steps",
        "hpo_bench.objectives.function.Function",
        "hpo_bench.objectives.command.Command",
        *OBJECTIVES.values(),
    ],
    "Methods": [
        *(path for path in METHODS.values() if path.startswith("hpo_bench.")),
        "hpo_bench.search.Search",
        "hpo_bench.search.Setup",
        "hpo_bench.search.Job",
        "hpo_bench.search.Outcome",
    ],
    "Suites and runs": [
        "hpo_bench.suite.load",
        "hpo_bench.suite.parse",
        "hpo_bench.suite.Suite",
        "hpo_bench.running.runs.Run",
        "hpo_bench.running.execution.execute",
    ],
    "Conformance": [
        "hpo_bench.conformance",
        "hpo_bench.conformance.Method",
        "hpo_bench.conformance.ObjectiveType",
        "hpo_bench.conformance.candidate",
        "hpo_bench.conformance.check",
        "hpo_bench.conformance.Finding",
        "hpo_bench.conformance.Verdict",
    ],
    "Errors": [
        "hpo_bench.errors.HpoBenchError",
        "hpo_bench.errors.InputError",
        "hpo_bench.errors.MissingExtraError",
    ],
}


def on_config(config):
    """Put pages that the navigation does not name under "How to", so that none is unreachable."""
    folder = Path(config.docs_dir)
    named = set(re.findall(r"[\w/-]+\.md", json.dumps(config.nav)))
    there = {str(page.relative_to(folder)) for page in folder.rglob("*.md")}
    (guides,) = [entry["How to"] for entry in config.nav if "How to" in entry]
    guides += sorted(there - named)
    return config


def on_files(files, config):
    """Add the pages and the schema that are made of the code."""
    made = {
        "reference/suite-file.md": suite_page(),
        "reference/suite.schema.json": json.dumps(Suite.model_json_schema(), indent=2),
        "reference/command-line.md": command_page(),
        "reference/tables.css": TABLES,
        "assets/iframe-worker.js": WORKER.read_text(),
        "reference/python.md": python_page(),
        "notebook.md": notebook_page(Path(config.docs_dir) / "notebook.ipynb"),
    }
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def notebook_page(path):
    """Make a page of a notebook, with the outputs that are kept in it."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join(part for cell in cells for part in _cell(cell))


def _cell(cell):
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
        return
    yield f"```python\n{source}\n```"
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "text/html" in data:
            # Without line breaks Markdown leaves it as it stands.
            yield f"<div>{' '.join(''.join(data['text/html']).split())}</div>"
        elif "text/plain" in data:
            yield f"```text\n{''.join(data['text/plain'])}\n```"


def on_post_page(output, page, **_):
    """Look that a page can be read from the disk, without a network.

    Raises:
        PluginError: It would fetch a script or a style from somewhere.
    """
    if found := re.search(r'<(script|link rel="stylesheet")[^>]*"https?://[^>]*>', output):
        raise PluginError(f"{page.file.src_uri} asks for something from the network: {found[0]}")
    return output


def on_page_markdown(markdown, **_):
    """Turn $...$ and $$...$$ into MathML, outside of code."""
    markdown = markdown.replace("(notebook.ipynb)", "(notebook.md)")
    parts = re.split(r"(^```.*?^```|`[^`\n]+`)", markdown, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if part.startswith("`") else _with_mathml(part) for part in parts)


def _with_mathml(text):
    text = re.sub(r"\$\$(.+?)\$\$", lambda m: _mathml(m[1], "block"), text, flags=re.DOTALL)
    return re.sub(r"\$([^$\n]+)\$", lambda m: _mathml(m[1], "inline"), text)


def _mathml(equation, display):
    made = convert(equation.strip(), display=display)
    if "\\" in made:
        raise PluginError(f"the converter does not know a command of this equation: {equation}")
    return made


def _place(path):
    """Where the options of a method are documented."""
    if path.startswith("optuna."):
        return f"https://optuna.readthedocs.io/en/stable/reference/samplers/generated/{path}.html"
    return f"python.md#{path}"


def suite_page():
    """Every key of a suite file, from the models that validate it."""
    parts = [
        "# Suite files",
        "A suite file is TOML. Its keys, as the models say that validate it; the same as",
        "[JSON schema](suite.schema.json), for editors that complete TOML. Any other key is",
        "refused, with the one that was probably meant. A file without `name` has its own.",
    ]
    models = {
        "Top level": Suite,
        "`[objective]`": ObjectiveSpec,
        "`[budget]`": Budget,
        "`[methods.NAME]`": MethodSpec,
    }
    for title, model in models.items():
        parts += [f"\n## {title}\n", _told(model), "", _keys(model)]
    parts += [
        "\n## `[space]`\n",
        "Name of a hyperparameter to a fixed value, or to one of these tables:\n",
        "| table | meaning |",
        "| :--- | :--- |",
        "| `{ low = 4, high = 64 }` | whole numbers, if both are |",
        "| `{ low = 0.0, high = 0.5, step = 0.1 }` | in steps |",
        "| `{ low = 1e-4, high = 1e-1, log = true }` | on a log scale |",
        '| `{ choices = ["relu", "tanh"] }` | one of them |',
        "\n## `[objectives.NAME]`\n",
        "Instead of `[objective]`, for several: tables of the same keys.",
        "\n## What comes with the package\n",
        "Objectives, and where their `options` stand; `seed` and `space` are the suite's own:\n",
        *(f"- `{name}`: [{path}](python.md#{path})" for name, path in OBJECTIVES.items()),
        "\nMethods, and where their `options` stand:\n",
        *(f"- `{name}`: [{path}]({_place(path)})" for name, path in METHODS.items()),
        "\n## What `lenet5` can search\n",
        _told_of_parameters(),
        *_parameters(),
    ]
    return "\n".join(parts) + "\n"


def _told_of_parameters():
    return griffe.load("hpo_bench.objectives.lenet5.objective.PARAMETERS").docstring.value


def _parameters():
    """The hyperparameters of LeNet5, with the two spaces that have a name."""
    yield '\n`space = "widths"` is the default.\n'
    yield '| name | default | what is legal | in `"widths"` | in `"full"` |'
    yield "| :--- | :--- | :--- | :--- | :--- |"
    for name, parameter in PARAMETERS.items():
        spaces = (_written(SPACES[space].get(name)) for space in ("widths", "full"))
        legal = _written(to_table(parameter.legal))
        yield f"| `{name}` | {_written(parameter.default)} | {legal} | {' | '.join(spaces)} |"


def _written(value):
    """A value as it stands in TOML."""
    if value is None:
        return ""
    if isinstance(value, dict):
        inside = ", ".join(f"{k} = {json.dumps(v)}" for k, v in value.items())
        return f"`{{ {inside} }}`"
    return f"`{json.dumps(value)}`"


def _told(model):
    return griffe.load(f"{model.__module__}.{model.__qualname__}").docstring.value


def _keys(model):
    members = griffe.load(f"{model.__module__}.{model.__qualname__}").members
    rows = ["| key | type | default | meaning |", "| :--- | :--- | :--- | :--- |"]
    for name, field in model.model_fields.items():
        docstring = members[name].docstring
        meaning = " ".join(docstring.value.split()) if docstring else ""
        kind = type_in_words(str(members[name].annotation))
        rows.append(f"| `{name}` | {kind} | {_default(field)} | {meaning} |")
    return "\n".join(rows)


def type_in_words(annotation):
    """The type of a key, from the text of its annotation; None is a key that is left out.

    Raises:
        PluginError: A type in it has no word yet.
    """
    return _type(ast.parse(annotation, mode="eval").body)


def _type(node):
    match node:
        case ast.BinOp(left=left, right=ast.Constant(value=None)):
            return _type(left)
        case ast.BinOp(left=left, right=right):
            return f"{_type(left)} or {_type(right)}"
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[inner, *marks])):
            return ", ".join([_type(inner), *_bounds(marks)])
        case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Tuple(elts=values)):
            return " or ".join(f"`{json.dumps(value.value)}`" for value in values)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Constant(value=value)):
            return f"`{json.dumps(value)}`"
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[_, inner])):
            named = isinstance(inner, ast.Name) and inner.id == "MethodSpec"
            return "tables `[methods.NAME]`" if named else "table"
        case ast.Name(id=name) if name in TYPES:
            return TYPES[name]
    raise PluginError(f"no word for the type {ast.unparse(node)}")


def _bounds(marks):
    """What `Field` says of a value, e.g. "at least 1"."""
    for mark in marks:
        told = getattr(mark, "keywords", [])
        for keyword in (keyword for keyword in told if keyword.arg in BOUNDS):
            value = keyword.value
            bound = value.value if isinstance(value, ast.Constant) else getattr(suite, value.id)
            yield BOUNDS[keyword.arg].format(bound)


def _default(field):
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "" if value is None else f"`{json.dumps(value)}`"


def command_page():
    """Every command, from the parser that reads it."""
    group = typer.main.get_command(app)
    parts = ["# Command line", group.help]
    for name, command in group.commands.items():
        own = typer.Context(command, info_name=f"hpo-bench {name}")
        usage = " ".join(command.collect_usage_pieces(own))
        parts += [f"\n## {name}\n", command.help, f"\n```text\nhpo-bench {name} {usage}\n```\n"]
        rows = [_row(p, own) for p in command.params if not p.hidden and p.name != "help"]
        if rows:
            parts += ["| parameter | meaning | default |", "| :--- | :--- | :--- |", *rows, ""]
        epilog = (command.epilog or "").replace("\\n", "")
        lines = [line.strip() for line in epilog.splitlines() if line.strip()]
        parts += ["\n```text", *lines, "```"]
    return "\n".join(parts) + "\n"


def _row(parameter, context):
    names = ", ".join(f"`{name}`" for name in parameter.opts)
    if parameter.param_type_name == "argument":
        names = f"`{parameter.metavar or parameter.name.upper()}`"
    help_text = (getattr(parameter, "help", None) or "").replace("|", "\\|")
    default = parameter.get_default(context, call=False)
    told = getattr(parameter, "show_default", None)
    if isinstance(told, str):
        return f"| {names} | {help_text} | {told} |"
    shown = "" if default in (None, False, ()) else f"`{getattr(default, 'value', default)}`"
    return f"| {names} | {help_text} | {shown} |"


def python_page():
    """What may be imported, from its docstrings.

    Raises:
        PluginError: Of some public name there is none, which the page would leave out.
    """
    untold = [member for names in PYTHON.values() for name in names for member in _untold(name)]
    if untold:
        raise PluginError(f"no docstring: {', '.join(untold)}")
    parts = ["# Python", "What other packages may build on. Everything else may change."]
    for title, names in PYTHON.items():
        parts += [f"\n## {title}\n", *(f"\n::: {name}\n{_options(name)}" for name in names)]
    return "\n".join(parts)


def _untold(name):
    found = _loaded()[name]
    members = found.members if found.is_class and not _options(name) else {}
    return [f"{name}.{m}" for m, it in members.items() if m[0] != "_" and not it.has_docstring]


@cache
def _loaded():
    loader = griffe.GriffeLoader()
    for package in ("samplers", "hpo_bench"):
        loader.load(package)
    loader.resolve_aliases()
    return loader.modules_collection


def _options(name):
    """Of what a suite builds only its arguments: it has the members of what it derives from."""
    told = "    options: { members: [], show_bases: false }\n"
    return told if name in {*OBJECTIVES.values(), "hpo_bench.conformance"} else ""
