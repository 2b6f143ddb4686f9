"""The table of a fleet: a row a recording, as Parquet."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

from ivfusion_ros.fleet.store import need

if TYPE_CHECKING:
    from collections.abc import Iterable

COLUMNS = (
    "recording", "key", "folder", "error", "attempts", "host", "pairs", "seconds", "wall_s",
    "pairs_per_second", "drops", "failed_pairs", "faults", "detections", "skipped_messages", "losses",
    "topics",
)  # fmt: skip
"""Of a row; what is a mapping or a list is JSON."""


def write_rows(rows: Iterable[dict[str, Any]]) -> bytes:
    """Rows as a Parquet file. Raises DataError without pyarrow."""
    pyarrow, parquet = need("pyarrow"), need("pyarrow.parquet")
    plain = [{name: _plain(row.get(name)) for name in COLUMNS} for row in rows]
    types = {name: pyarrow.string() for name in COLUMNS}
    types |= {"attempts": pyarrow.int64(), "pairs": pyarrow.int64()}
    types |= dict.fromkeys(("seconds", "wall_s", "pairs_per_second"), pyarrow.float64())
    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(plain, schema=pyarrow.schema(list(types.items()))), file)
    return file.getvalue()


def read_rows(content: bytes) -> list[dict[str, Any]]:
    """What write_rows wrote; mappings and lists stay JSON."""
    return list(read_parquet(content).to_pylist())


def read_parquet(content: bytes) -> Any:
    """pyarrow's Table of a file of Parquet. Raises DataError without pyarrow.

    By read_table, a thread of Arrow may let go of a Python object when the interpreter has ended: an abort.
    """
    buffer = need("pyarrow").BufferReader(content)
    file = need("pyarrow.parquet").ParquetFile(buffer, pre_buffer=False)
    return file.read(use_threads=False)


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (dict, list)) else value
