"""Calibration boards: which there are, where their corners lie, and how a user names one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from ivfusion_ros.calibrate.choices import KINDS, SPECIFICATION
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.types import Floats32

Points = Floats32
Indices = npt.NDArray[np.intp]


_USUAL_DICTIONARIES = {"apriltag": "APRILTAG_36h11", "charuco": "5X5_100"}
_USUAL_SECOND = {"apriltag": 0.3, "charuco": 0.75}
_MAX_M = 10.0
_FORM = re.compile(r"(?P<kind>\w+):(?P<columns>\d+)x(?P<rows>\d+):(?P<size>[^:]+)(?::(?P<rest>.+))?")


@dataclass(frozen=True)
class Board:
    """A flat calibration board. Raises ConfigError for one that cannot be.

    kind, columns, rows, size_m, second_m: as KINDS says, lengths in metres; second_m and dictionary
    (a name of cv2.aruco's without DICT_) are only for boards with markers.
    """

    kind: str
    columns: int
    rows: int
    size_m: float
    second_m: float = 0.0
    dictionary: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"board kind is {self.kind!r}, expected one of {', '.join(KINDS)}")
        least = {"apriltag": 1, "circles": 2, "asymmetric_circles": 2}.get(self.kind, 3)
        if not (least <= self.columns <= 100 and least <= self.rows <= 100):
            raise ConfigError(
                f"{self.kind} has {self.columns}x{self.rows}, expected {least} to 100 columns and rows: "
                f"{KINDS[self.kind]}"
            )
        if not 0 < self.size_m < _MAX_M:
            raise ConfigError(f"board size is {self.size_m:g}, expected metres: {KINDS[self.kind]}")
        if self.has_markers:
            self._check_markers()

    @property
    def has_markers(self) -> bool:
        """Whether corners have identities, so that a part of the board is enough."""
        return self.kind in _USUAL_DICTIONARIES

    @property
    def has_circles(self) -> bool:
        """Whether its points are the centres of circles."""
        return self.kind in ("circles", "asymmetric_circles")

    @cached_property
    def points(self) -> Points:
        """(N, 3) corners or circle centres on the board, metres; z is 0, x right, y down."""
        if self.kind == "apriltag":
            return np.concatenate([np.asarray(tag, np.float32) for tag in self.tag_grid.getObjPoints()])
        if self.kind == "charuco":
            return np.asarray(self.charuco.getChessboardCorners(), np.float32)
        rows, columns = np.mgrid[: self.rows, : self.columns]
        if self.kind == "asymmetric_circles":
            columns = 2 * columns + rows % 2
        points = np.stack([columns, rows, np.zeros_like(rows)], axis=-1).reshape(-1, 3)
        return np.asarray(points * self.size_m, np.float32)

    @cached_property
    def symmetries(self) -> list[Indices]:
        """Orders of the points (N,) in which the turned or mirrored board has the same points.

        The first is the order as it is, and the only one of boards whose corners have identities.
        """
        here = self.points[:, :2] - (self.points[:, :2].min(axis=0) + self.points[:, :2].max(axis=0)) / 2
        orders = [np.arange(len(here))]
        for turned in [] if self.has_markers else _turned(here):
            apart = np.linalg.norm(turned[:, None] - here[None], axis=2)
            order = np.asarray(apart.argmin(axis=1), np.intp)
            if apart.min(axis=1).max() < 1e-3 * self.size_m:
                orders.append(order)
        return orders

    @cached_property
    def tag_grid(self) -> cv2.aruco.GridBoard:
        """OpenCV's board of an apriltag."""
        size = (self.columns, self.rows)
        return cv2.aruco.GridBoard(size, self.size_m, self.second_m, self._opencv_dictionary())

    @cached_property
    def charuco(self) -> cv2.aruco.CharucoBoard:
        """OpenCV's board of a charuco."""
        size = (self.columns, self.rows)
        return cv2.aruco.CharucoBoard(size, self.size_m, self.second_m, self._opencv_dictionary())

    def _opencv_dictionary(self) -> cv2.aruco.Dictionary:
        return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{self.dictionary}"))

    def _check_markers(self) -> None:
        if not hasattr(cv2.aruco, f"DICT_{self.dictionary}"):
            raise ConfigError(
                f"board dictionary is {self.dictionary!r}, expected a name of OpenCV such as "
                f"{', '.join(_USUAL_DICTIONARIES.values())} or 4X4_50"
            )
        limit = self.size_m if self.kind == "charuco" else _MAX_M
        if not 0 < self.second_m < limit:
            raise ConfigError(
                f"board's second length is {self.second_m:g}, expected metres, more than 0 and less than "
                f"{limit:g}: {KINDS[self.kind]}"
            )
        markers = self.columns * self.rows // (2 if self.kind == "charuco" else 1)
        known = len(self._opencv_dictionary().bytesList)
        if markers > known:
            raise ConfigError(
                f"the board needs {markers} markers, but dictionary {self.dictionary} has {known}; name a "
                "larger one, or check columns and rows"
            )


def parse_board(text: str) -> Board:
    """A board by its specification, such as checkerboard:8x6:0.08. Raises ConfigError.

    KIND:COLUMNSxROWS:SIZE[:SECOND[:DICTIONARY]], lengths in metres.
    """
    form = _FORM.fullmatch(text.strip())
    if form is None:
        raise ConfigError(
            f"board is {text!r}, expected {SPECIFICATION} in metres, such as checkerboard:8x6:0.08; kinds: "
            + "; ".join(f"{kind}: {meaning}" for kind, meaning in KINDS.items())
        )
    kind = form["kind"]
    size_m = _metres(form["size"], text)
    if kind not in _USUAL_DICTIONARIES:
        if form["rest"] is not None:
            raise ConfigError(
                f"board is {text!r}, but {kind} has no second length: leave {form['rest']!r} out"
            )
        return Board(kind, int(form["columns"]), int(form["rows"]), size_m)
    second, _, dictionary = (form["rest"] or "").partition(":")
    second_m = _metres(second, text) if second else size_m * _USUAL_SECOND[kind]
    dictionary = dictionary.removeprefix("DICT_") or _USUAL_DICTIONARIES[kind]
    return Board(kind, int(form["columns"]), int(form["rows"]), size_m, second_m, dictionary)


def _metres(text: str, specification: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ConfigError(
            f"board is {specification!r}, where {text!r} is not a length in metres; expected "
            f"{SPECIFICATION}"
        ) from error


def _turned(points: Points) -> list[Points]:
    """The other seven places of points (N, 2) when their rectangle is turned by quarters or mirrored."""
    x, y = points.T
    places = [(-y, x), (-x, -y), (y, -x), (-x, y), (x, -y), (y, x), (-y, -x)]
    return [np.stack(place, axis=1) for place in places]
