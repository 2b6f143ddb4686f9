"""What a calibration may be asked for, known without the libraries behind it."""

from __future__ import annotations

from typing import Literal

KINDS = {
    "checkerboard": "columns and rows count inner corners, SIZE is a square's edge",
    "circles": "columns and rows count circles, SIZE is the distance of their centres",
    "asymmetric_circles": "columns count circles in a row, SIZE is half their distance there",
    "apriltag": "columns and rows count tags, SIZE is a tag's edge, SECOND the gap between two tags",
    "charuco": "columns and rows count squares, SIZE is a square's edge, SECOND a marker's",
}
"""What the numbers of a specification mean, by kind of board."""

SPECIFICATION = "KIND:COLUMNSxROWS:SIZE[:SECOND[:DICTIONARY]]"

SceneModel = Literal["rig", "homography", "affine"]

MatcherAnswer = Literal["not asked", "no place", "same place", "not taken", "taken"]
"""What a matcher said of where the images lie, and what became of it.

no place: its matches do not agree. same place: as without it. not taken, taken: of another place.
"""

SHIPPED_MATCHER = "matcher"
"""The name of the matcher that ships, in models.yaml."""
