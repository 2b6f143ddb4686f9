"""Searching the board in pairs of frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ivfusion_ros.calibrate.detect import BoardFinder
from ivfusion_ros.calibrate.guidance import Guide
from ivfusion_ros.calibrate.views import BoardView, with_slips
from ivfusion_ros.errors import DataError
from ivfusion_ros.types import CAMERAS, CameraName, FramePair, Size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ivfusion_ros.calibrate.boards import Board
    from ivfusion_ros.calibrate.pairs import NamedPair

_KEPT_PAIRS = 7
_SAME_SHAPE = 0.01
"""By how much aspect ratios may differ, as of calibrations that are scaled."""
_Kept = tuple[float, BoardView, FramePair]
"""A relative distance, and what was seen there."""


@dataclass(frozen=True, eq=False)
class Collected:
    """What was found in all pairs.

    views: one per pair. sizes: of the images. kept: a few pairs in which both cameras see the board, with
    their views, from near to far. missing: what views would still help.
    """

    views: list[BoardView]
    sizes: dict[CameraName, Size]
    kept: list[tuple[BoardView, FramePair]]
    missing: list[str]


def collect_views(
    board: Board, pairs: Iterable[NamedPair], tell: Callable[[str], None] = lambda _: None
) -> Collected:
    """Search the board in each pair. Raises DataError for no pairs, and for images of several sizes.

    tell: is called after each pair with how often it was found, and what view is missing most.
    """
    finders = {name: BoardFinder(board) for name in CAMERAS}
    guides: dict[CameraName, Guide] = {}
    views: list[BoardView] = []
    sizes: dict[CameraName, Size] = {}
    kept: list[_Kept] = []
    for name, pair in pairs:
        check_sizes(sizes, name, pair)
        thermal, rgb = finders["thermal"].find(pair.thermal.image), finders["rgb"].find(pair.rgb.image)
        views.append(BoardView(name, thermal, rgb, pair.rgb.stamp_ns, pair.skew_ns))
        for camera, found in zip(CAMERAS, (thermal, rgb), strict=True):
            guide = guides.setdefault(camera, Guide(camera, board, sizes[camera]))
            if found is not None:
                guide.add(found)
        if thermal is not None and rgb is not None:
            kept = _spread([*kept, (guides["rgb"].distances[-1], views[-1], pair)])
        tell(_progress(guides, len(views)))
    if not views:
        raise DataError(
            "there are no pairs of a thermal and an RGB image; check the topics or folders, and the offset "
            "between the clocks (--time-offset)"
        )
    missing = [line for camera in CAMERAS for line in guides[camera].missing()]
    return Collected(with_slips(views), sizes, [(view, pair) for _, view, pair in kept], missing)


def _progress(guides: dict[CameraName, Guide], tried: int) -> str:
    counts = ", ".join(f"{camera} {len(guides[camera].distances)}" for camera in CAMERAS)
    missing = [line for camera in CAMERAS for line in guides[camera].missing()]
    return f"found {counts} of {tried}" + (f"; {missing[0]}" if missing else "")


def check_sizes(sizes: dict[CameraName, Size], name: str, pair: FramePair) -> None:
    """Keep the first pair's image sizes, and raise DataError for a later one that differs."""
    for camera, frame in (("thermal", pair.thermal), ("rgb", pair.rgb)):
        known = sizes.setdefault("thermal" if camera == "thermal" else "rgb", frame.size)
        if known != frame.size:
            raise DataError(
                f"the {camera} image of {name} is {frame.size[0]}x{frame.size[1]}, those before are "
                f"{known[0]}x{known[1]}; expected one size for each camera: {_advice(known, frame.size)}"
            )


def _advice(size: Size, other: Size) -> str:
    """What to do about images of another size."""
    if abs(size[0] * other[1] - size[1] * other[0]) <= _SAME_SHAPE * size[0] * other[1]:
        return (
            "leave out the images of either size; the calibration is scaled, and so holds for both if one "
            "is the other one scaled"
        )
    return (
        "one of them is cropped, turned, or another camera's; calibrate the images of each size by "
        "themselves"
    )


def _spread(kept: list[_Kept]) -> list[_Kept]:
    """By distance; of too many, without the one that is most like those before and after it."""
    kept = sorted(kept, key=lambda item: item[0])
    if len(kept) > _KEPT_PAIRS:
        gaps = [after[0] / before[0] for before, after in zip(kept[:-2], kept[2:], strict=True)]
        del kept[1 + gaps.index(min(gaps))]
    return kept
