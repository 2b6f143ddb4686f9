"""Boxes of objects on disk, in the form that YOLO trains on."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from ivfusion_ros.errors import DataError
from ivfusion_ros.files import read_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from ivfusion_ros.types import Boxes, Size

_SAME = {"people": "person"}
_MAX_XML_BYTES = 2**24


def read_voc(path: Path) -> tuple[Boxes, list[str]]:
    """(N, 4) boxes in pixels and N names, in small letters, of an XML file of Pascal VOC's form.

    Raises DataError.
    """
    try:
        objects = ElementTree.fromstring(read_bytes(path, _MAX_XML_BYTES)).findall("object")
        words = [item.findtext("name", "").strip().lower() for item in objects]
        sides = ("xmin", "ymin", "xmax", "ymax")
        rows = [[float(item.findtext(f"bndbox/{side}", "")) for side in sides] for item in objects]
    except (ElementTree.ParseError, ValueError, LookupError, OSError) as error:
        raise DataError(
            f"{path} has no boxes of Pascal VOC's form ({error}); expected <object>s with <bndbox>"
        ) from error
    return np.array(rows, np.float32).reshape(-1, 4), [_SAME.get(word, word) for word in words]


def read_boxes(path: Path, size: Size) -> tuple[Boxes, npt.NDArray[np.int64]]:
    """(N, 4) boxes in pixels and (N,) class ids of a label file; size: (width, height) of its image."""
    rows = [[float(word) for word in line.split()] for line in path.read_text("utf-8").splitlines()]
    values = np.array(rows, np.float32).reshape(-1, 5)
    scale = np.array(size, np.float32)
    centres, halves = values[:, 1:3] * scale, values[:, 3:] * scale / 2
    return np.concatenate([centres - halves, centres + halves], axis=1), values[:, 0].astype(np.int64)
