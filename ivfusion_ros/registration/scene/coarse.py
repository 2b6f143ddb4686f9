"""Exhaustive search of scale, rotation and shift at thumbnail size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ivfusion_ros.registration.scene.overlay import Overlay, scaling
from ivfusion_ros.types import Floats, Floats32, Size

if TYPE_CHECKING:
    from ivfusion_ros.types import Image

_SIDE_PX = 128
_SCALES = np.geomspace(0.77, 1.3, 10)
_ROTATIONS_DEG = np.linspace(-9, 9, 7)
_SHIFT_SHARE = 0.16
_MIN_OVERLAP = 0.3


@dataclass(frozen=True, eq=False)
class _Candidate:
    score: float
    log_scale: float
    rotation_deg: float
    shift: tuple[int, int]
    rgb_from_thermal: Floats

    def resembles(self, other: _Candidate) -> bool:
        moved = np.abs(np.subtract(self.shift, other.shift)).max()
        turned = abs(self.rotation_deg - other.rotation_deg)
        return bool(abs(self.log_scale - other.log_scale) < 0.09 and turned < 4 and moved < 4)


def coarse_alignments(pairs: list[tuple[Image, Image]], initial: Floats, count: int) -> list[Floats]:
    """The best distinct 3x3 rgb_from_thermal around an initial one, best first.

    Searched are 0.77 to 1.3 times the scale, 9 degrees either way, and shifts of 16% of the visible
    image's longer side. The scores of all pairs (thermal, visible) are summed.
    """
    searches = [_Search(Overlay(thermal, visible, _SIDE_PX)) for thermal, visible in pairs]
    overlay = searches[0].overlay
    to_small = scaling(overlay.factor)
    found = []
    for scale in _SCALES:
        for rotation in _ROTATIONS_DEG:
            turn = _similarity(float(scale), float(rotation), overlay.size) @ to_small @ initial
            back = np.linalg.inv(to_small)
            scores = np.mean([search.scores(back @ turn) for search in searches], axis=0)
            row, column = np.unravel_index(int(scores.argmax()), scores.shape)
            dx, dy = int(column) - searches[0].reach, int(row) - searches[0].reach
            move = np.array([[1.0, 0, dx], [0, 1, dy], [0, 0, 1]])
            found.append(
                _Candidate(
                    float(scores.max()), float(np.log(scale)), float(rotation), (dx, dy), back @ move @ turn
                )
            )
    distinct: list[_Candidate] = []
    for candidate in sorted(found, key=lambda one: -one.score):
        if not any(candidate.resembles(other) for other in distinct):
            distinct.append(candidate)
    return [candidate.rgb_from_thermal for candidate in distinct[:count]]


class _Search:
    """Normalised correlation of one pair for all shifts, by FFT."""

    def __init__(self, overlay: Overlay) -> None:
        self.overlay = overlay
        height, width = overlay.visible.shape
        self.reach = round(_SHIFT_SHARE * max(overlay.size))
        self._shape = _fast_length(height + self.reach), _fast_length(width + self.reach)
        self._fixed = np.fft.rfft2(overlay.fixed, self._shape)
        self._fixed_energy = np.fft.rfft2((overlay.fixed**2).sum(axis=0), self._shape)
        self._fixed_area = np.fft.rfft2(np.ones((height, width), np.float32), self._shape)

    def scores(self, rgb_from_thermal: Floats) -> Floats32:
        """(2 reach + 1, 2 reach + 1) in [-1, 1], for further shifts of the thermal image."""
        moving, content = self.overlay.lay(rgb_from_thermal)
        product = self._correlate(moving, self._fixed)
        fixed_energy = self._correlate(content, self._fixed_energy)
        moving_energy = self._correlate((moving**2).sum(axis=0), self._fixed_area)
        seen = self._correlate(content, self._fixed_area) / content.size
        energies = np.sqrt(np.maximum(fixed_energy, 1e-3) * np.maximum(moving_energy, 1e-3))
        scores = np.where(seen > _MIN_OVERLAP, product / (energies + 1), -1)
        return np.asarray(scores, np.float32)

    def _correlate(self, moving: Floats32, fixed: npt.NDArray[np.complexfloating[Any, Any]]) -> Floats32:
        spectrum = np.conj(np.fft.rfft2(moving, self._shape)) * fixed
        summed = spectrum.sum(axis=0) if spectrum.ndim == 3 else spectrum
        whole = np.roll(np.fft.irfft2(summed, self._shape), (self.reach, self.reach), axis=(0, 1))
        side = 2 * self.reach + 1
        return np.asarray(whole[:side, :side], np.float32)


def _fast_length(length: int) -> int:
    """The next length that only has the factors 2, 3 and 5."""
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1


def _similarity(scale: float, rotation_deg: float, size: Size) -> Floats:
    """3x3 scaling and rotation around the image's centre."""
    centre = (np.array(size, np.float64) - 1) / 2
    angle = np.radians(rotation_deg)
    matrix = np.eye(3)
    matrix[:2, :2] = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix[:2, 2] = centre - matrix[:2, :2] @ centre
    return matrix
