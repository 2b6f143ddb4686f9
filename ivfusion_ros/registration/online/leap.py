"""A larger step of the online refinement: where a matcher sees the images, if their edges say so too."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from ivfusion_ros.errors import IvfusionError
from ivfusion_ros.geometry.maps import displacements_at
from ivfusion_ros.registration.online.alignment import certainty_of
from ivfusion_ros.registration.online.background import Background
from ivfusion_ros.registration.online.edges import edge_structure
from ivfusion_ros.registration.online.field import field_basis, image_corners, matrix_from_corners
from ivfusion_ros.registration.online.shift_search import STEP_PX, ShiftSearch
from ivfusion_ros.registration.online.shrunk import compared, shrunk, working_size
from ivfusion_ros.types import Floats, Image, Size

if TYPE_CHECKING:
    from collections.abc import Callable

    from ivfusion_ros.config.pipeline import RefinementConfig

log = logging.getLogger(__name__)

_ASKED_PX = 640
"""Longest side of what a matcher is shown."""


_BETTER = 1.15
"""Contrasts of places a few pixels apart differ by up to 6%, those of right and wrong places by 20%."""


class Matching(Protocol):
    """A matcher for one pair. Called by one thread at a time."""

    def __call__(self, warped: Image, reference: Image) -> Floats | None:
        """3x3 from pixels of one grey image (h, w) to those of the other one of that size; None: none."""
        ...

    def close(self) -> None:
        """Free what it uses; it is not called again."""
        ...


class Leaps:
    """Asks a matcher in the background, as long as it is called for each pair. Not for several threads."""

    def __init__(self, matching: Matching, config: RefinementConfig, *, awaited: bool) -> None:
        """awaited: as in Background."""
        self.asked = 0
        """how often, so far"""
        self._matching, self._config = matching, config
        self._asks = True
        self._background = Background[Floats | None](awaited=awaited)
        self._place: Floats | None = None
        """the last answer, (4, 2)"""
        self._next_ns: int | None = None
        """when it may be asked again"""

    def find(self, stamp_ns: int, view: Callable[[], View], near_px: float) -> Floats | None:
        """Where two answers in a row bring the corners, (4, 2) as in find_leap; None while none agree.

        view: the newest pair. near_px: how far apart such answers may be.
        """
        if not self._asks:
            return None
        try:
            found = self._background.take(stamp_ns)
        except IvfusionError as error:
            log.warning("%s; the matcher is not asked again", error)
            self._asks = False
            return None
        for place in found:
            before, self._place = self._place, place
            if place is not None and before is not None and _largest(place - before) <= near_px:
                return place
        if self._background.free and (self._next_ns is None or stamp_ns >= self._next_ns):
            self._next_ns = stamp_ns + round(self._config.matcher_period_s * 1e9)
            job = partial(find_leap, view(), self._matching, self._config)
            self._background.begin(job, self._next_ns)
            self.asked += 1
        return None

    def forget(self) -> None:
        """Leave out what was asked so far."""
        self._background.forget()
        self._place = None

    def restart(self) -> None:
        """Forget, and ask at once: stamps may have gone back."""
        self.forget()
        self._next_ns = None

    def close(self) -> None:
        """End after what is in work."""
        self._background.close()
        self._matching.close()


@dataclass(frozen=True, eq=False)
class View:
    """A pair as it was seen, to be looked at later.

    warped, reference: (h, w) uint8, of one size, no larger than what a matcher is shown. valid: as in
    OnlineRefinement.update. size: of the images that these were shrunk from. correction: 3x3, in force.
    """

    warped: Image
    reference: Image
    valid: Image | None
    size: Size
    correction: Floats


def view_of(warped: Image, reference: Image, valid: Image | None, correction: Floats) -> View:
    """Of images as given to OnlineRefinement.update, of which it keeps copies."""
    size = (reference.shape[1], reference.shape[0])
    factor = min(1.0, _ASKED_PX / max(size))
    small = round(size[0] * factor), round(size[1] * factor)
    return View(shrunk(warped, small), shrunk(reference, small), valid, size, correction)


def find_leap(view: View, matching: Matching, config: RefinementConfig) -> Floats | None:
    """Displacements (4, 2) of the corners, from the calibration alone, px; None where nothing is found.

    It is what the configured model can follow of the matcher's motion, and accepted only where the edges
    of both images agree with it clearly more than as they lie.
    """
    motion = matching(view.warped, view.reference)
    if motion is None:
        return None
    shown = (view.warped.shape[1], view.warped.shape[0])
    corners = _followed(_rescaled(motion, shown, view.size) @ view.correction, view.size, config.model)
    if not np.isfinite(corners).all() or _largest(corners) > config.max_px:
        return None
    small = working_size(view.size)
    change = matrix_from_corners(view.size, corners) @ np.linalg.inv(view.correction)
    before, after = (_search(view, _rescaled(one, view.size, small), small) for one in (np.eye(3), change))
    offset, contrast = after.best()
    near = float(np.hypot(*offset)) <= STEP_PX and certainty_of(contrast) >= config.min_confidence
    return corners if near and contrast > _BETTER * before.contrast_here() else None


def _followed(total: Floats, size: Size, model: str) -> Floats:
    corners = image_corners(size)
    basis = field_basis(corners, size, model).reshape(8, -1)
    wanted = displacements_at(corners, total).ravel()
    return np.asarray((basis @ np.linalg.lstsq(basis, wanted, rcond=None)[0]).reshape(4, 2), np.float64)


def _search(view: View, change: Floats, small: Size) -> ShiftSearch:
    """How the pair fits around where a further 3x3, of the working size, brings the warped image."""
    warped = cv2.warpPerspective(shrunk(view.warped, small), change, small)
    whole = np.full(small[::-1], 255, np.uint8) if view.valid is None else shrunk(view.valid, small)
    valid = np.asarray(cv2.warpPerspective(whole, change, small), np.uint8)
    still = edge_structure(shrunk(view.reference, small))
    still *= compared(valid, small)
    search = ShiftSearch()
    search.observe(still, edge_structure(np.asarray(warped, np.uint8)), 1.0)
    return search


def _largest(displacements: Floats) -> float:
    return float(np.hypot(*displacements.T).max())


def _rescaled(motion: Floats, size: Size, other: Size) -> Floats:
    """A 3x3 between images of a size as one between images of another; integers are pixel centres."""
    x, y = np.array(other) / np.array(size)
    scaling = np.array([[x, 0.0, (x - 1) / 2], [0.0, y, (y - 1) / 2], [0.0, 0.0, 1.0]])
    return np.asarray(scaling @ motion @ np.linalg.inv(scaling), np.float64)
