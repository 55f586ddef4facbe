"""Write the samplers as packages of OptunaHub: DESTINATION/package/samplers/NAME.

Usage: python .ci/hub_export.py DESTINATION
"""

import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMPORT = re.compile(r"^from samplers import (\w+)$", re.MULTILINE)
# The hub's `samplers/pso` is another author's, whose class has the same name: what loaded it by
# that name would search by another algorithm, and not be told.
NAMES = {"pso": "asynchronous_pso"}


def export(destination: Path) -> list[Path]:
    """Copy every sampler's folder; what imports `samplers` then loads it from the hub."""
    packages = []
    for source in sorted(path.parent for path in (ROOT / "samplers").glob("*/__init__.py")):
        hub_name = NAMES.get(source.name, source.name)
        package = destination / "package" / "samplers" / hub_name
        if package.exists():
            raise SystemExit(f"{package} exists; give another destination, or remove it")
        shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("example.py", "README.md"):
            text = (package / name).read_text()
            load = f'\\1 = optunahub.load_module("samplers/{hub_name}").\\1'
            text = IMPORT.sub(f"import optunahub\n\n{load}", text)
            (package / name).write_text(
                text.replace("import optuna\n\nimport", "import optuna\nimport")
            )
        packages.append(package)
    return packages


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    for written in export(Path(sys.argv[1])):
        print(written)
