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
IMPORT = re.compile(r"^from samplers import (\w+)$", re.MULTILINE)
IMPORT_SHARED = re.compile(rf"^( *from )samplers(\.{SHARED}\b)", re.MULTILINE)
# The hub has a `samplers/pso` of another author, whose class has the same name. Who loaded ours by
# that name would search with another algorithm, and nothing would say so.
NAMES = {"pso": "asynchronous_pso"}


def export(destination: Path) -> list[Path]:
    """Copy every sampler's folder, and make each copy independent of all others."""
    packages = []
    for source in sorted(path.parent for path in SAMPLERS.glob("[!_]*/__init__.py")):
        hub_name = NAMES.get(source.name, source.name)
        package = destination / "package" / "samplers" / hub_name
        if package.exists():
            raise SystemExit(f"{package} exists; give another destination, or remove it")
        copy(source, package)
        copy(SAMPLERS / SHARED, package / SHARED)
        for path in package.glob("*.py"):
            path.write_text(IMPORT_SHARED.sub(r"\1\2", path.read_text()))
        for name in ("example.py", "README.md"):
            load_from_hub(package / name, hub_name)
        packages.append(package)
    return packages


def copy(source: Path, destination: Path) -> None:
    """Copy a folder without what Python has compiled."""
    shutil.copytree(source, destination, ignore=shutil.ignore_patterns("__pycache__"))


def load_from_hub(path: Path, hub_name: str) -> None:
    """Let a text load a sampler from the hub where it imports the sampler from `samplers`."""
    load = f'\\1 = optunahub.load_module("samplers/{hub_name}").\\1'
    text = IMPORT.sub(f"import optunahub\n\n{load}", path.read_text())
    path.write_text(text.replace("import optuna\n\nimport", "import optuna\nimport"))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    for written in export(Path(sys.argv[1])):
        print(written)
