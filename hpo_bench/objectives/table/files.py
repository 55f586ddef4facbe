"""Read and write tables of recorded trainings: CSV (also compressed) or Parquet, with a card.

A row is one epoch of one training. It has a column for each hyperparameter, then `seed`, `epoch`
(from 1), `value` (which a method is told), `seconds` (the time of the epoch), and all other
measurements after the epoch. The card describes the rows. It is a part of the file, so that the two
cannot be mixed up: it is the first line of a CSV file, after `# `, or an entry in a Parquet file's
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
"""Name of a column -> its values, one per row; the values are texts if they come from CSV."""

OWN_COLUMNS = ("seed", "epoch", "value", "seconds")
"""Columns that every table has, besides its hyperparameters."""

SUFFIXES = (".csv", ".csv.gz", ".parquet")
"""Endings of the names of tables."""

MAX_BYTES = 256 * 2**20
"""Most bytes of a table, packed or unpacked: a csv.gz can unpack to a thousand times its size."""

MAX_CELLS = 20_000_000
"""Most cells of a table, rows times columns: they take about 1.5 GB of memory."""

MAX_COLUMNS = 1_000
"""Most columns of a table."""

_METADATA_KEY = b"hpo_bench"


class Card(BaseModel):
    """The description of a table's rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    """Version of the file format."""
    name: str
    """Name of the table."""
    description: str = ""
    """Description of the table for people."""
    metric: str
    """Name of the metric in the column `value`."""
    direction: Literal["maximize", "minimize"]
    """Direction of the metric."""
    fidelity: str
    """Name of the unit that the column `epoch` counts."""
    max_fidelity: int = Field(ge=1)
    """Number of these units in a full training."""
    space: dict[str, dict[str, Any]]
    """Space from which the configurations come: name -> range or choices, as in a suite."""
    default: dict[str, Any] | None = None
    """Default configuration of the recorded objective: name -> value; None if it has none."""
    data: dict[str, Any] = {}
    """The recorded objective's description of its data, with their hash."""
    made: dict[str, Any] = {}
    """How the table was made: options, versions, processor, commit."""


def check_path(field: str, path: Path) -> None:
    """Check that a file's name has the ending of a supported format.

    Args:
        field: Name of the setting, for the error.
        path: The file; it need not exist.

    Raises:
        InputError: The name has another ending.
        MissingExtraError: The file is Parquet, and pyarrow is not installed.
    """
    if not path.name.endswith(SUFFIXES):
        expected = f"expected a name that ends in {', '.join(SUFFIXES)}"
        raise InputError(field, str(path), expected)
    if path.suffix == ".parquet":
        _pyarrow()


def read(path: Path) -> tuple[Card, Columns, str]:
    """Read a table.

    Returns:
        The card, the columns, and the SHA-256 of the file in hexadecimal.

    Raises:
        HpoBenchError: The file cannot be read, is too large, or is not a table; the text says why.
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
    """Write a table; after a crash the old or the new file exists as a whole.

    The same rows and card give the same bytes.

    Args:
        path: The file; its ending chooses the format.
        card: The description of the rows.
        columns: The columns, all of equal length.

    Raises:
        HpoBenchError: The file cannot be written.
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
        # After each row: the number of rows is not known before.
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
    """Refuse a table that is too large, before it fills the memory.

    Raises:
        ValueError: The table has too many columns or cells.
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
    # gzip stores a time; a fixed one keeps the bytes equal.
    return gzip.compress(content, mtime=0) if path.suffix == ".gz" else content


def _from_parquet(_path: Path, content: bytes) -> tuple[Card, Columns]:
    arrow, parquet = _pyarrow()
    file = parquet.ParquetFile(arrow.BufferReader(content))
    # The metadata declare both sizes: a column that repeats one value a billion times takes almost
    # no room in the file.
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
    """Convert choices to text: a column cannot hold several types, nor None in CSV."""
    chosen = {name for name, table in card.space.items() if "choices" in table}
    return {
        name: [str(value) for value in values] if name in chosen else list(values)
        for name, values in columns.items()
    }


def _pyarrow() -> tuple[Any, Any]:
    """Import pyarrow (165 MB installed), which is an extra, only for Parquet files."""
    with needing("tables", "a table in a .parquet file"):
        import pyarrow
        from pyarrow import parquet
    return pyarrow, parquet


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
