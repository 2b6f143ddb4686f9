"""The curves of a run: a row of curves.csv at each validation, and the same for TensorBoard."""

from __future__ import annotations

import csv
import logging
from typing import TYPE_CHECKING, Any

from ivfusion_ros.files import whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from ivfusion_ros.types import Image

log = logging.getLogger(__name__)

CURVES = "curves.csv"


class Curves:
    """Values by step, kept in the run folder."""

    def __init__(self, run: Path, last_step: int) -> None:
        """last_step: rows after this one are dropped, as their steps are made again."""
        self._path = run / CURVES
        self._rows = [row for row in _read(self._path) if int(row["step"]) <= last_step]
        self._write()
        self._board = _tensorboard(run / "tensorboard", last_step)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """A row; it is in the file when this returns."""
        self._rows.append({"step": step, **values})
        self._write()
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name.replace("_", "/", 1), value, step)
            self._board.flush()

    def show(self, step: int, pictures: Mapping[str, Image]) -> None:
        """Pictures for TensorBoard, (H, W, 3) RGB by name."""
        if self._board is not None:
            for name, picture in pictures.items():
                self._board.add_image(name, picture, step, dataformats="HWC")

    def _write(self) -> None:
        if not self._rows:
            self._path.unlink(missing_ok=True)
            return
        columns = dict.fromkeys(name for row in self._rows for name in row)
        with whole_file(self._path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self._rows)

    def __enter__(self) -> Curves:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._board is not None:
            self._board.close()


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _tensorboard(folder: Path, last_step: int) -> Any:
    """torch's writer of event files; None where the package tensorboard is missing."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.info("no files for TensorBoard, only %s; they need: pip install tensorboard", CURVES)
        return None
    writer: Any = SummaryWriter(str(folder), purge_step=last_step + 1)
    return writer
