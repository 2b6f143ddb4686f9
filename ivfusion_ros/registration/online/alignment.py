"""Where the warped image should lie, from all frames of the last seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ivfusion_ros.geometry.maps import displacements_at
from ivfusion_ros.registration.online.cells import CellMoments, cell_centres, measure_cells
from ivfusion_ros.registration.online.field import PARAMETERS, Fit, field_basis, fit_field, image_corners
from ivfusion_ros.registration.online.shift_search import ShiftSearch
from ivfusion_ros.types import Floats, Size

if TYPE_CHECKING:
    from ivfusion_ros.registration.online.edges import Structure

# In pixels of the structures, so that all follows the image's size.
_SEARCH_FROM_PX = 1.6
_SIGMA_HALF_PX = 0.25

_MIN_CERTAINTY = 0.6
"""Below this, a model with more than a shift is reduced to a shift."""

_CONTRAST_NONE, _CONTRAST_FULL = 0.05, 0.13
"""Images of different scenes stay below the first, those of one scene are above the second."""


def certainty_of(contrast: float) -> float:
    """In [0, 1]: whether images with a peak of such a contrast, as of a ShiftSearch, show one scene."""
    return min(max((contrast - _CONTRAST_NONE) / (_CONTRAST_FULL - _CONTRAST_NONE), 0.0), 1.0)


@dataclass(frozen=True, eq=False)
class Alignment:
    """The displacement that aligns the images.

    corners: (4, 2) of the image's corners, from where the calibration alone brings them; pixels of the
    reference image. confidence: in [0, 1]. found: by the coarse search, as the whole model, or as a
    shift where the cells do not determine more.
    """

    corners: Floats
    confidence: float
    found: Literal["coarse", "whole", "shift"]


class AlignmentFilter:
    """Averages what frames say about the displacement, each measured under the correction of its time.

    Displacements are counted from the calibration alone, so a correction that changes costs no memory.
    """

    def __init__(self, model: str, size: Size, small_size: Size, smoothing_s: float) -> None:
        """size: of the reference image; small_size: of the structures."""
        self._scale = np.array(size) / np.array(small_size)
        self._px = float(self._scale.mean())
        self._smoothing_s = smoothing_s
        self.cells: Floats = (cell_centres(small_size) + 0.5) * self._scale - 0.5
        self._basis = field_basis(self.cells, size, model)
        self._corner_basis = field_basis(image_corners(size), size, model)
        self._parameters: Floats = np.zeros(PARAMETERS[model])
        self._search = ShiftSearch()
        self._moments: CellMoments | None = None
        self.seen_s = 0.0

    def observe(
        self, still: Structure, moving: Structure, first: int, correction: Floats, elapsed_s: float
    ) -> None:
        """Add a frame, its structures as for measure_cells; correction: 3x3 that moving was warped by."""
        share = -math.expm1(-elapsed_s / self._smoothing_s)
        self._search.observe(still, moving, share)
        measured = measure_cells(still, moving, first).scaled(self._scale)
        measured = measured.about(displacements_at(self.cells, correction))
        self._moments = measured if self._moments is None else self._moments.blended(measured, share)
        self.seen_s += elapsed_s

    def correction_changed(self, displacement: Floats) -> None:
        """The images to come are warped by another (2,) px more."""
        self._search.content_moved(displacement / self._scale)

    def estimate(self, corners: Floats, correction: Floats) -> Alignment | None:
        """From all frames, while `correction` is in force, which is what moves the corners by (4, 2) px.

        None for no idea.
        """
        offset, contrast = self._search.best()
        certainty = certainty_of(contrast)
        if certainty > 0 and float(np.hypot(*offset)) > _SEARCH_FROM_PX:
            # Too far for the moments to be right: they start again when the search has brought it near.
            self._moments = None
            return Alignment(corners + offset * self._scale, certainty, "coarse")
        if self._moments is None or certainty == 0:
            return None
        return self._fit_model(self._moments, certainty) or self._fit_shift(
            self._moments, certainty, corners, correction
        )

    def _fit_model(self, moments: CellMoments, certainty: float) -> Alignment | None:
        """The whole model, where the cells determine it up to the corners."""
        fit = fit_field(moments, self._basis, self._px, self._parameters)
        if fit is None:
            return None
        self._parameters = fit.parameters
        certainty *= self._trust(fit, self._corner_basis)
        if self._basis.shape[2] > 2 and certainty < _MIN_CERTAINTY:
            return None
        return Alignment(self._corner_basis @ fit.parameters, certainty, "whole")

    def _fit_shift(
        self, moments: CellMoments, certainty: float, corners: Floats, correction: Floats
    ) -> Alignment | None:
        """Only a shift, on top of the correction in force."""
        rest = moments.about(-displacements_at(self.cells, correction))
        fit = fit_field(rest, self._basis[:, :, :2], self._px, np.zeros(2))
        if fit is None:
            return None
        certainty *= self._trust(fit, self._corner_basis[:, :, :2])
        return Alignment(corners + fit.parameters, certainty, "shift")

    def _trust(self, fit: Fit, corner_basis: Floats) -> float:
        return 1 / (1 + (fit.sigma_px(corner_basis) / (_SIGMA_HALF_PX * self._px)) ** 2)
