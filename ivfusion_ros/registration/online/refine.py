"""A small correction on top of the calibration, tracked from frame to frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from ivfusion_ros.config.pipeline import RefinementConfig
from ivfusion_ros.errors import ImageError
from ivfusion_ros.geometry.maps import displacements_at
from ivfusion_ros.registration.online.alignment import Alignment, AlignmentFilter
from ivfusion_ros.registration.online.cells import EVERY, compared_rows
from ivfusion_ros.registration.online.edges import Structure, edge_structure
from ivfusion_ros.registration.online.field import matrix_from_corners
from ivfusion_ros.registration.online.leap import Leaps, Matching, view_of
from ivfusion_ros.registration.online.shrunk import compared, shrunk, working_size
from ivfusion_ros.types import Floats, Floats32, Size

if TYPE_CHECKING:
    from collections.abc import Callable

    from ivfusion_ros.registration.online.leap import View
    from ivfusion_ros.types import Image

__all__ = ["OnlineRefinement", "Refinement", "RefinementConfig", "RefinementStatus"]

RefinementStatus = Literal["settling", "tracking", "searching", "bumped", "unsure", "empty", "frozen"]

_MAX_STEP_S = 0.2
"""A longer gap between frames counts as this one: nothing may jump after it."""
_MIN_POWER = 0.01
# In pixels of the working size, so that all follows the image's size.
_DEAD_ZONE_PX = 0.15
_PUBLISH_PX = 0.05
_SAME_PLACE_PX = 3.0

_PATIENCE_S = 4.0
"""A way that would take longer at the allowed rate is a bumped camera's: it is gone at once."""
_PERSISTENT_S = 1.5
"""For how long the images must agree on where that ends."""


@dataclass(frozen=True, eq=False)
class Refinement:
    """What is known after a pair.

    correction: 3x3 float64, from pixels of the image as the calibration alone warps it to pixels of the
    reference image. confidence: in [0, 1]. drift_px: mean displacement that the correction makes over the
    image. status: "tracking", "searching" (far from the optimum), "bumped" (so far, for so long, that the
    correction went there at once; or a matcher said so), "settling" (too few frames so far), "unsure"
    (below the least confidence), "empty" (an image without edges), "frozen" (a repeated image); only the
    first three change the correction. by_matcher: whether it is "bumped" by what a matcher said. asked:
    whether that one began to look at this pair.
    """

    correction: Floats
    confidence: float
    drift_px: float
    status: RefinementStatus
    by_matcher: bool = False
    asked: bool = False


class OnlineRefinement:
    """Follows the displacement between warped images and reference images. Not for several threads.

    The image is warped by the calibration and then by `correction`, and given back to `update`.
    """

    def __init__(
        self, config: RefinementConfig, matching: Matching | None = None, *, awaited: bool = True
    ) -> None:
        """config.model must not be "off".

        matching: a matcher that is asked in the background, None for none. awaited: whether its answers are
        waited for once they count, a period later: then results do not depend on the machine's speed.
        """
        self._config = config
        self._leaps = None if matching is None else Leaps(matching, config, awaited=awaited)
        self._tracker: _Tracker | None = None
        self._stamp_ns = 0

    def reset(self) -> None:
        """Back to no correction, as after a jump of time or once a correction is in the calibration."""
        self._tracker = None

    def close(self) -> None:
        """Wait for the matcher, and release it."""
        if self._leaps is not None:
            self._leaps.close()

    @property
    def correction(self) -> Floats | None:
        """3x3 as in Refinement, None for none; another array only when it changed."""
        return None if self._tracker is None else self._tracker.correction

    def update(
        self,
        warped: Image,
        reference: Image,
        stamp_ns: int,
        *,
        valid: Image | None = None,
        frozen: bool = False,
    ) -> Refinement:
        """Learn from a pair whose warped image was made with `correction` as it is before this call.

        warped, reference: (H, W) or (H, W, 3) uint8. valid: (H, W) uint8, 255 where warped shows
        something, not to be changed afterwards; None: everywhere. frozen: a camera is known to repeat its
        image. A stamp that goes back, or another size, starts again. Raises ImageError.
        """
        _check(warped, reference, valid)
        size = (reference.shape[1], reference.shape[0])
        if self._tracker is None or self._tracker.size != size or stamp_ns < self._stamp_ns:
            self._tracker, self._stamp_ns = _Tracker(self._config, size), stamp_ns
            if self._leaps is not None:
                self._leaps.restart()
        elapsed_s = min((stamp_ns - self._stamp_ns) / 1e9, _MAX_STEP_S)
        self._stamp_ns = stamp_ns
        found = self._tracker.update(warped, reference, valid, frozen, elapsed_s)
        if self._leaps is None or found.status in ("frozen", "empty"):
            return found
        return self._leap(self._tracker, self._leaps, partial(view_of, warped, reference, valid), found)

    def _leap(
        self, tracker: _Tracker, leaps: Leaps, view: Callable[[Floats], View], found: Refinement
    ) -> Refinement:
        """What became of the pair, where the matcher is needed and has found a distant place."""
        if not tracker.lost:
            leaps.forget()
            return found
        so_far = leaps.asked
        place = leaps.find(self._stamp_ns, partial(view, tracker.matrix), _SAME_PLACE_PX * tracker.px)
        if place is not None and tracker.is_distant(place):
            found = replace(tracker.leap(place), by_matcher=True)
        return replace(found, asked=leaps.asked > so_far)


class _Tracker:
    """The state for one image size."""

    def __init__(self, config: RefinementConfig, size: Size) -> None:
        self.size = size
        self.correction: Floats | None = None
        self.lost = False
        """whether the last images did not say where all of the model lies"""
        self._config = config
        self._small_size = working_size(size)
        self.px = size[0] / self._small_size[0]
        self._filter = self._new_filter()
        self._images: tuple[Image, Image] | None = None
        self._mask_of: tuple[Image | None, tuple[Floats32, float]] | None = None
        self._first_row = 0
        self._confidence = self._drift_px = 0.0
        self._corners: Floats = np.zeros((4, 2))
        self._published = self._corners
        self._far: tuple[Floats, float] | None = None
        """where a coarse search has found the corners, and for how long, s"""

    def _new_filter(self) -> AlignmentFilter:
        config = self._config
        return AlignmentFilter(config.model, self.size, self._small_size, config.smoothing_s)

    def update(
        self, warped: Image, reference: Image, valid: Image | None, frozen: bool, elapsed_s: float
    ) -> Refinement:
        images = shrunk(warped, self._small_size), shrunk(reference, self._small_size)
        repeated = self._images is not None and any(map(np.array_equal, images, self._images))
        self._images = images
        if frozen or repeated:
            return self._result("frozen")
        self._first_row = (self._first_row + 1) % EVERY
        rows = compared_rows(self._first_row)
        moving, still = edge_structure(images[0]), edge_structure(images[1], rows)
        mask, counted = self._mask(valid)
        still *= mask[rows]
        if min(EVERY * _power(still), _power(moving)) <= _MIN_POWER * counted:
            return self._result("empty")
        self._filter.observe(still, moving, self._first_row, self.matrix, elapsed_s)
        return self._result(self._follow(elapsed_s))

    @property
    def matrix(self) -> Floats:
        """The correction, 3x3."""
        return np.eye(3) if self.correction is None else self.correction

    def _mask(self, valid: Image | None) -> tuple[Floats32, float]:
        """(h, w), 1 where what is compared is of the warped image alone; the power of such a structure."""
        if self._mask_of is None or self._mask_of[0] is not valid:
            mask = compared(valid, self._small_size)
            self._mask_of = valid, (mask, 2.0 * float(mask.sum()))
        return self._mask_of[1]

    def _follow(self, elapsed_s: float) -> RefinementStatus:
        """Move the correction a little towards the estimate, if that is to be trusted."""
        estimate = self._filter.estimate(self._published, self.matrix)
        self._confidence = 0.0 if estimate is None else estimate.confidence
        self.lost = self._filter.seen_s >= self._config.smoothing_s
        if not self.lost:
            return "settling"
        if estimate is None or self._confidence < self._config.min_confidence:
            self._far = None
            return "unsure"
        self.lost = estimate.found != "whole"
        bumped = self._is_bumped(estimate, elapsed_s)
        self._step(estimate.corners, math.inf if bumped else elapsed_s)
        if bumped:
            return "bumped"
        return "searching" if estimate.found == "coarse" else "tracking"

    def leap(self, place: Floats) -> Refinement:
        """Go to a distant place of the corners (4, 2) at once; the images there say what comes then."""
        self._step(place, math.inf)
        self._far = None
        self._filter = self._new_filter()
        return self._result("bumped")

    def is_distant(self, place: Floats) -> bool:
        """Whether the way to a place of the corners (4, 2) is a bumped camera's."""
        return _largest(self._within(place) - self._corners) > _PATIENCE_S * self._config.max_rate_px_s

    def _is_bumped(self, estimate: Alignment, elapsed_s: float) -> bool:
        """Whether the images have said for long that everything lies at one other, distant place."""
        if estimate.found != "coarse" or not self.is_distant(estimate.corners):
            self._far = None
            return False
        place, since_s = self._far or (estimate.corners, 0.0)
        if _largest(estimate.corners - place) > _SAME_PLACE_PX * self.px:
            place, since_s = estimate.corners, 0.0
        self._far = place, since_s + elapsed_s
        return self._far[1] >= _PERSISTENT_S

    def _within(self, target: Floats) -> Floats:
        return target * min(1.0, self._config.max_px / max(_largest(target), 1e-9))

    def _step(self, target: Floats, elapsed_s: float) -> None:
        way = self._within(target) - self._corners
        length = _largest(way)
        allowed = min(length - _DEAD_ZONE_PX * self.px, self._config.max_rate_px_s * elapsed_s)
        if allowed > 0:
            self._corners = self._corners + way * (allowed / length)
        change = self._corners - self._published
        if _largest(change) >= _PUBLISH_PX * self.px:
            self._published = self._corners
            self.correction = matrix_from_corners(self.size, self._corners)
            moved = np.hypot(*displacements_at(self._filter.cells, self.correction).T)
            self._drift_px = float(moved.mean())
            self._filter.correction_changed(change.mean(axis=0))

    def _result(self, status: RefinementStatus) -> Refinement:
        return Refinement(self.matrix, self._confidence, self._drift_px, status)


def _check(warped: Image, reference: Image, valid: Image | None) -> None:
    for name, image in (("warped", warped), ("reference", reference), ("valid", valid)):
        if image is None:
            continue
        channels = ((),) if name == "valid" else ((), (3,))
        shape = image.shape[:2] == reference.shape[:2] and image.ndim >= 2 and image.shape[2:] in channels
        if not shape or image.dtype != np.uint8 or min(image.shape[:2]) < 64:
            raise ImageError(
                f"refinement's {name} image is {image.dtype} {image.shape}, expected uint8 of "
                f"{reference.shape[:2]} like the reference image, at least 64 pixels wide and high"
            )


def _power(structure: Structure) -> float:
    return float(cv2.norm(structure.reshape(-1, structure.shape[2]), cv2.NORM_L2SQR))


def _largest(displacements: Floats) -> float:
    return float(np.hypot(displacements[:, 0], displacements[:, 1]).max())
