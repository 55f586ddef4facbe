"""Write the samplers as packages of OptunaHub: DESTINATION/package/samplers/NAME.

Usage: python .ci/hub_export.py DESTINATION
"""

import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SAMPLERS = ROOT / "samplers"
SHARED = "_base"
IMPORT = re.compile(r"^( *>>> |)from samplers(?:\.\w+)? import (\w+)$", re.MULTILINE)
IMPORT_SHARED = re.compile(rf"^( *from )samplers(\.{SHARED}\b)", re.MULTILINE)
# The hub has a `samplers/pso` of another author, and its class has the same name. Users who load
# ours by that name would get another algorithm without a warning.
NAMES = {"pso": "asynchronous_pso"}


def export(destination: Path) -> list[Path]:
    """Copy each sampler's folder, and make the copies independent of each other."""
    packages = []
    for source in sorted(path.parent for path in SAMPLERS.glob("[!_]*/__init__.py")):
        hub_name = NAMES.get(source.name, source.name)
        package = destination / "package" / "samplers" / hub_name
        if package.exists():
            raise SystemExit(f"{package} exists; give another destination, or remove it")
        copy(source, package)
        copy(SAMPLERS / SHARED, package / SHARED)
        for path in [*package.glob("*.py"), package / "README.md"]:
            text = IMPORT_SHARED.sub(r"\1\2", path.read_text())
            path.write_text(load_from_hub(text, hub_name))
        packages.append(package)
    return packages


def copy(source: Path, destination: Path) -> None:
    """Copy a folder without Python's caches."""
    shutil.copytree(source, destination, ignore=shutil.ignore_patterns("__pycache__"))


def load_from_hub(text: str, hub_name: str) -> str:
    """Replace imports from `samplers` in an example by loads from the hub."""
    load = f'\\1\\2 = optunahub.load_module("samplers/{hub_name}").\\2'
    text = IMPORT.sub(f"\\1import optunahub\n{load}", text)
    # Outside of docstrings, a blank line stands between the imports and the rest.
    text = text.replace("import optuna\n\nimport optunahub\n", "import optuna\nimport optunahub\n")
    return re.sub(r"^import optunahub\n", r"\g<0>\n", text, flags=re.MULTILINE)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    for written in export(Path(sys.argv[1])):
        print(written)
