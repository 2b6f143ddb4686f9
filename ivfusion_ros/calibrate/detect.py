"""Finding a calibration board in an RGB or a thermal image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ivfusion_ros.calibrate.checkerboard import find_checkerboard, refine_saddles
from ivfusion_ros.calibrate.circles import find_circles, refine_circles
from ivfusion_ros.calibrate.corners import Corners
from ivfusion_ros.calibrate.enhance import Look, looks_for
from ivfusion_ros.calibrate.markers import find_charuco, find_tags, refine_tags
from ivfusion_ros.images.encodings import to_grey

if TYPE_CHECKING:
    from collections.abc import Callable

    from ivfusion_ros.calibrate.boards import Board
    from ivfusion_ros.types import AnyImage, Image

_FIND: dict[str, Callable[[Board, Image], Corners | None]] = {
    "circles": find_circles,
    "asymmetric_circles": find_circles,
    "apriltag": find_tags,
    "charuco": find_charuco,
}
_REFINE: dict[str, Callable[[Board, AnyImage, Corners], Corners]] = {
    "circles": refine_circles,
    "asymmetric_circles": refine_circles,
    "apriltag": refine_tags,
    "charuco": refine_saddles,
}


class BoardFinder:
    """Finds one board in the images of one camera; what worked for the last image is tried first."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self._looks: list[Look] = []
        self._width = 0

    def find(self, image: AnyImage) -> Corners | None:
        """The board in an image, (H, W) uint8 or uint16 or (H, W, 3) uint8; None where it is not seen.

        A board without markers must be seen as a whole but for a tenth of its circles, one with markers
        by a fifth of its corners.
        """
        grey = to_grey(image)
        if self.board.kind == "checkerboard":
            return find_checkerboard(self.board, grey)
        if grey.shape[1] != self._width:
            self._width = grey.shape[1]
            self._looks = looks_for(self._width, self.board.has_circles)
        for look in list(self._looks):
            found = _FIND[self.board.kind](self.board, look.apply(grey))
            if found is not None:
                self._looks.remove(look)
                self._looks.insert(0, look)
                corners = Corners(found.ids, look.original_pixels(found.pixels))
                return _REFINE[self.board.kind](self.board, grey, corners)
        return None
