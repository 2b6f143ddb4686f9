"""Whether a thermal and an RGB camera look at one scene, told by where both have edges of one direction.

Two cameras of one scene share edges, at whatever contrast and sign; road scenes share some with any other
road scene. So several pairs are looked at, and each thermal image is compared with other RGB images, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ivfusion_ros.types import Image

    Edges = npt.NDArray[np.complex64]
    """(H, W): twice the direction of the gradient as phase, its local strength as length; of norm 1"""
    Spectrum = npt.NDArray[np.complex64]
    """(2 H, 2 W): its Fourier transform"""

PAIRS = 8
"""That are looked at: fewer cannot tell."""

LEAST_ALIKE, LEAST_MORE_ALIKE = 0.14, 0.03
"""Mean agreement of pairs, and by how much it is above that of images that are no pair.

Of 725 groups of PAIRS of one scene (MSRS, RoadScene, M3SVD, and RoadScene up to 50 px apart) none had less
of both; of as many groups of different scenes, 97 in 100 had.
"""

_SIZE = (96, 72)
_REACH = (12, 9)
"""Pixels of _SIZE by which cameras may be apart, across and down."""
_FLAT = 2.0
_NEAR = 6.0
"""Standard deviation of the neighbourhood in which edges are compared for strength, pixels."""


class Likeness:
    """Looks at PAIRS pairs, then knows; costs some 2 ms a pair, and 20 ms at the end."""

    def __init__(self) -> None:
        self._pairs: list[tuple[Spectrum, Spectrum]] = []

    @property
    def complete(self) -> bool:
        """Whether enough was seen."""
        return len(self._pairs) >= PAIRS

    def add(self, thermal: Image, rgb: Image) -> None:
        """thermal: (H, W), rgb: (H, W, 3), both in one view as far as they can be."""
        grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
        self._pairs.append((_spectrum(thermal), _spectrum(grey)))

    def agreements(self) -> tuple[float, float]:
        """Mean agreement of the pairs, up to 1, and of each thermal image with the RGB image of another."""
        half = len(self._pairs) // 2
        others = [rgb for _, rgb in self._pairs[half:] + self._pairs[:half]]
        same = [_agreement(thermal, rgb) for thermal, rgb in self._pairs]
        apart = [_agreement(thermal, rgb) for (thermal, _), rgb in zip(self._pairs, others, strict=True)]
        return float(np.mean(same)), float(np.mean(apart))

    def differs(self) -> bool:
        """Whether the images are of different scenes, or further apart than _REACH."""
        same, apart = self.agreements()
        return same < LEAST_ALIKE and same - apart < LEAST_MORE_ALIKE


def _spectrum(grey: Image) -> Spectrum:
    """Of _edges, with room for all shifts."""
    return np.asarray(np.fft.fft2(_edges(grey), (2 * _SIZE[1], 2 * _SIZE[0])), np.complex64)


def _edges(grey: Image) -> Edges:
    resized = cv2.resize(grey, _SIZE, interpolation=cv2.INTER_AREA).astype(np.float32)
    small = cv2.GaussianBlur(resized, (0, 0), 1.0)
    gradient = cv2.Sobel(small, cv2.CV_32F, 1, 0) + 1j * cv2.Sobel(small, cv2.CV_32F, 0, 1)
    length = np.abs(gradient).astype(np.float32)
    around = np.sqrt(cv2.GaussianBlur(length * length, (0, 0), _NEAR) + _FLAT**2)
    edges = gradient * gradient / np.maximum(length, 1e-3) / around
    edges = (edges - edges.mean()) * _window()
    return np.asarray(edges / (np.linalg.norm(edges) + 1e-6), np.complex64)


def _window() -> npt.NDArray[np.float64]:
    """What fades towards the borders, so that an image's end is no edge."""
    across, down = (np.hanning(side + 2)[1:-1] for side in _SIZE)
    return np.asarray(np.outer(down, across) ** 0.25, np.float64)


def _agreement(thermal: Spectrum, rgb: Spectrum) -> float:
    """Most correlation over all shifts within _REACH."""
    correlation = np.fft.fftshift(np.real(np.fft.ifft2(thermal * np.conj(rgb))))
    down, across = _SIZE[1], _SIZE[0]
    near = correlation[down - _REACH[1] : down + _REACH[1] + 1, across - _REACH[0] : across + _REACH[0] + 1]
    return float(near.max())
