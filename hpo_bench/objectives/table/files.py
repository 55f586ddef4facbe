"""Tables of recorded trainings as files: CSV (also compressed) or Parquet, with their card.

A row is one epoch of one training: a column for every hyperparameter, then `seed`, `epoch` (from
1), `value` (what a method is told), `seconds` (what the epoch took), and whatever else was
measured after it. The card says what the rows are. It stands within the file, where neither can
be taken for another's: as the first line of a CSV file, after `# `, or in a Parquet file's
metadata.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hpo_bench.errors import HpoBenchError, InputError, needing
from hpo_bench.files import replace_file

Columns = dict[str, Sequence[Any]]
"""Name -> the values of all rows; texts, where they come from a CSV file."""

OWN_COLUMNS = ("seed", "epoch", "value", "seconds")
"""Those that every table has, beside its hyperparameters."""

SUFFIXES = (".csv", ".csv.gz", ".parquet")

MAX_BYTES = 256 * 2**20
"""Of a table's text, unpacked: a csv.gz of 1 MB may unpack to a thousand times that."""

MAX_CELLS = 20_000_000
"""Rows times columns: about 1.5 GB in memory."""

MAX_COLUMNS = 1_000

_METADATA_KEY = b"hpo_bench"


class Card(BaseModel):
    """What a table holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    name: str
    description: str = ""
    metric: str
    """What `value` is."""
    direction: Literal["maximize", "minimize"]
    fidelity: str
    """What is counted by `epoch`."""
    max_fidelity: int = Field(ge=1)
    """Epochs of a full training."""
    space: dict[str, dict[str, Any]]
    """Where the configurations come from: name -> range or choices, as in a suite."""
    default: dict[str, Any] | None = None
    """The configuration that the objective has if nothing is searched."""
    data: dict[str, Any] = {}
    """What the objective said of its data, with their hash."""
    made: dict[str, Any] = {}
    """By what: options, versions, processor, commit."""


def check_path(field: str, path: Path) -> None:
    """See that a file's name says which of the formats it has.

    Raises:
        InputError: It does not.
        MissingExtraError: It is Parquet, and pyarrow is not installed.
    """
    if not path.name.endswith(SUFFIXES):
        expected = f"expected a name that ends in {', '.join(SUFFIXES)}"
        raise InputError(field, str(path), expected)
    if path.suffix == ".parquet":
        _pyarrow()


def read(path: Path) -> tuple[Card, Columns, str]:
    """Read a table: its card, its columns, and the sha256 of the file.

    Raises:
        HpoBenchError: The file cannot be read, or is no such table; the text says why.
    """
    try:
        content = _read_at_most(path)
    except OSError as error:
        raise HpoBenchError(f"{path} cannot be read: {error.strerror}") from None
    try:
        card, columns = (_from_parquet if path.suffix == ".parquet" else _from_csv)(path, content)
    except (OSError, EOFError, ValueError, NotImplementedError, csv.Error, zlib.error) as error:
        raise HpoBenchError(f"{path} is not a table of trainings: {_first_line(error)}") from None
    missing = [name for name in (*card.space, *OWN_COLUMNS) if name not in columns]
    if missing:
        raise HpoBenchError(f"{path} is incomplete: there is no column {', '.join(missing)}")
    return card, columns, hashlib.sha256(content).hexdigest()


def write(path: Path, card: Card, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write a table; after a crash the old file or the new one is there.

    The same rows and card give the same bytes.

    Raises:
        HpoBenchError: It cannot be written there.
    """
    content = (_to_parquet if path.suffix == ".parquet" else _to_csv)(path, card, columns)
    try:
        replace_file(path, content)
    except OSError as error:
        raise HpoBenchError(f"{path} cannot be written: {error.strerror}") from None


def _card(text: str | bytes) -> Card:
    try:
        return Card.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(str(part) for part in fault["loc"])
        raise ValueError(f"its card: {field or 'all of it'}: {fault['msg']}") from None


def _from_csv(path: Path, content: bytes) -> tuple[Card, Columns]:
    text = (_unpacked(content) if path.suffix == ".gz" else content).decode()
    first, _, table = text.partition("\n")
    if not first.startswith("# "):
        raise ValueError("expected a first line with its card, '# {...}'")
    found = csv.reader(io.StringIO(table))
    names = next(found, [])
    _check_size(0, len(names))
    rows = []
    for row in found:
        if len(row) != len(names):
            raise ValueError("its rows are of different lengths")
        rows.append(row)
        _check_size(len(rows), len(names))
    return _card(first[2:]), dict(zip(names, zip(*rows, strict=True), strict=True))


def _read_at_most(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise HpoBenchError(f"{path} is too large: a table may have {MAX_BYTES // 2**20} MiB")
    return content


def _unpacked(content: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        text = file.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise ValueError(f"it unpacks to more than the {MAX_BYTES // 2**20} MiB that it may have")
    return text


def _check_size(n_rows: int, n_columns: int) -> None:
    """Refuse a table before it takes the memory.

    Raises:
        ValueError: It has too many columns or cells.
    """
    if n_columns > MAX_COLUMNS:
        raise ValueError(f"it has {n_columns:,} columns, and may have {MAX_COLUMNS:,}")
    if n_rows * n_columns > MAX_CELLS:
        raise ValueError(f"its rows times its columns are more than {MAX_CELLS:,}")


def _to_csv(path: Path, card: Card, columns: Mapping[str, Sequence[Any]]) -> bytes:
    out = io.StringIO()
    out.write(f"# {card.model_dump_json()}\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*_as_text(card, columns).values(), strict=True))
    content = out.getvalue().encode()
    return gzip.compress(content, mtime=0) if path.suffix == ".gz" else content


def _from_parquet(_path: Path, content: bytes) -> tuple[Card, Columns]:
    arrow, parquet = _pyarrow()
    file = parquet.ParquetFile(arrow.BufferReader(content))
    # Both stand in the file: a column of one value a billion times takes next to no room in it.
    _check_size(file.metadata.num_rows, file.metadata.num_columns)
    sizes = [file.metadata.row_group(i).total_byte_size for i in range(file.num_row_groups)]
    if sum(sizes) > MAX_BYTES:
        raise ValueError(f"it unpacks to more than the {MAX_BYTES // 2**20} MiB that it may have")
    table = file.read()
    card = (table.schema.metadata or {}).get(_METADATA_KEY)
    if card is None:
        raise ValueError(f"expected a card in its metadata, under {_METADATA_KEY.decode()!r}")
    return _card(card), table.to_pydict()


def _to_parquet(_path: Path, card: Card, columns: Mapping[str, Sequence[Any]]) -> bytes:
    arrow, parquet = _pyarrow()
    table = arrow.table(_as_text(card, columns))
    table = table.replace_schema_metadata({_METADATA_KEY: card.model_dump_json()})
    sink = arrow.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def _as_text(card: Card, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """Turn choices to text: they may be of several types, or None, which a column cannot hold."""
    chosen = {name for name, table in card.space.items() if "choices" in table}
    return {
        name: [str(value) for value in values] if name in chosen else list(values)
        for name, values in columns.items()
    }


def _pyarrow() -> tuple[Any, Any]:
    """Import pyarrow, which takes more room than all else here together, only where it is used."""
    with needing("tables", "a table in a .parquet file"):
        import pyarrow
        from pyarrow import parquet
    return pyarrow, parquet


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
