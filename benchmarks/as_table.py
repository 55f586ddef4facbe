"""Print the results of pytest-benchmark as Markdown, one row per measured object.

Usage: python -m benchmarks.as_table FILE.json
"""

import json
import sys
from pathlib import Path
from typing import Any

from .markdown import rows


def table(benchmarks: list[dict[str, Any]]) -> list[str]:
    """Lay out one group: one column per setting."""
    cells: dict[str, dict[str, str]] = {}
    for benchmark in benchmarks:
        info = dict(benchmark["extra_info"])
        header = next(iter(info))  # the first entry names the measured object: a sampler, a network
        row = cells.setdefault(str(info.pop(header)), {})
        found = [f"{info.pop(key)} {key}" for key in ("duplicates", "missing") if key in info]
        if "ratio" in info:
            found.append(f"{info.pop('ratio')}x")
        told = [key for key in info if "beside" in key or key in ("speedup", "share", "rate")]
        found += [f"{key} {info.pop(key)}" for key in told]
        column = ", ".join(f"{key} {value}" for key, value in info.items())
        row[column] = ", ".join([_shown(benchmark["stats"]["median"]), *found])
    columns = list(dict.fromkeys(column for row in cells.values() for column in row))
    body = [[name, *(row.get(column, "") for column in columns)] for name, row in cells.items()]
    return rows([header, *columns], body)


def _shown(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    benchmarks = json.loads(Path(sys.argv[1]).read_text())["benchmarks"]
    for group in dict.fromkeys(benchmark["group"] for benchmark in benchmarks):
        print(f"**{group}** (median)\n")
        print("\n".join(table([b for b in benchmarks if b["group"] == group])) + "\n")
