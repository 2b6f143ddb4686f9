"""A learned matcher as an ONNX file, the one that ships or the user's: where both images show the same.

The contract is what exports of cross-modal matchers (XoFTR, MINIMA and their like) have in common. Inputs:
`thermal` and `visible`, float32 (1, 1, H, W) grey in [0, 1], H and W fixed in the file or free; free ones
are multiples of 32, the longer side at most 640. Outputs: `matches`, float32 (N, 4), x and y of a place in
the thermal input and in the visible one, integers at pixel centres; `confidence`, float32 (N,), in [0, 1].
N may be 0 and another one each time.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import cv2
import numpy as np

from ivfusion_ros.backends.choice import load_backend
from ivfusion_ros.errors import ModelError
from ivfusion_ros.models import looks_like, resolve_model
from ivfusion_ros.registration.scene.align import (
    Alignment,
    ImagePair,
    align_from,
    align_many,
    far_apart,
    surest,
)
from ivfusion_ros.types import Floats, Image, Size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ivfusion_ros.backends.tensors import Array, TensorInfo
    from ivfusion_ros.calibrate.choices import MatcherAnswer

log = logging.getLogger(__name__)

INPUTS, OUTPUTS = ("thermal", "visible"), ("matches", "confidence")
_STRIDE, _LONGEST_PX = 32, 640
_LEAST_CONFIDENCE = 0.2
_AGREEING_PX = 4.0
"""Of the matcher's own input."""
_MIN_AGREEING, _MIN_SHARE = 12, 0.15
_MOST_PAIRS = 12
_MOST_SCALE = 2.0
"""Of images that a calibration has brought together, however bad it is."""


@dataclass(frozen=True, eq=False)
class PlaceMatches:
    """thermal, visible: (N, 2) float64 pixels of the images as they were given. confidence: (N,).

    pixel: side of a pixel of the matcher's visible input, in pixels of the image as it was given.
    """

    thermal: Floats
    visible: Floats
    confidence: Floats
    pixel: float


class Matcher:
    """A matcher in an ONNX file, by the contract above. Not for several threads."""

    def __init__(self, path: Path, *, threads: int = 0) -> None:
        """Load it and try it once. Raises ModelError, which says what does not fit, and BackendError.

        threads: CPU threads, 0 for all cores.
        """
        self.name = path.name
        # What it gives has another length each time, which only ONNX Runtime takes everywhere.
        self._backend = load_backend(path, "onnxruntime", threads=threads)
        _check_names("inputs", self._backend.inputs, INPUTS, self.name)
        _check_names("outputs", self._backend.outputs, OUTPUTS, self.name)
        self._sizes = {name: _fixed_size(self._backend.inputs[name], name, self.name) for name in INPUTS}
        noise = np.random.default_rng(0).integers(0, 256, (480, 640)).astype(np.uint8)
        self(noise, noise)

    def __call__(self, thermal: Image, visible: Image) -> PlaceMatches:
        """What a thermal image (H, W) and a luminance (H2, W2), both uint8, share. Raises ModelError."""
        fed, scales = {}, []
        for name, image in zip(INPUTS, (thermal, visible), strict=True):
            own = image.shape[1], image.shape[0]
            size = self._sizes[name] or _free_size(own)
            small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            fed[name] = (np.asarray(small, np.float32) / 255)[None, None]
            scales.append(np.array(own) / np.array(size))
        found = self._backend.run(fed)
        matches, confidence = _checked(found, self.name)
        first, second = (matches[:, :2] + 0.5) * scales[0], (matches[:, 2:] + 0.5) * scales[1]
        return PlaceMatches(first - 0.5, second - 0.5, confidence, float(scales[1].max()))

    def close(self) -> None:
        """Free the model."""
        self._backend.close()


def align_by(
    pairs: Sequence[ImagePair],
    initial: Floats | None,
    model: Literal["affine", "homography"],
    matcher: Matcher | None,
) -> tuple[Alignment, MatcherAnswer]:
    """As align_many; with a matcher also from where it says, if that is elsewhere: the surer one of both.

    Of one place the search's alignment is taken: the surer of two would be too sure. Errors likewise.
    """
    found = align_many(pairs, initial, model)
    if matcher is None:
        return found, "not asked"
    start = matched_start(pairs, matcher)
    if start is None:
        return found, "no place"
    other = align_from(pairs, start, model)
    if not far_apart(other.rgb_from_thermal, found.rgb_from_thermal, pairs[0]):
        log.info("%s: its matches say the same place", matcher.name)
        return found, "same place"
    best = surest([(1.0, found), (1.0, other)], pairs[0])
    matched = best.rgb_from_thermal is other.rgb_from_thermal
    log.info(
        "%s: elsewhere, with a confidence of %.2f, without it %.2f; that is %s",
        matcher.name, other.confidence, found.confidence, "taken" if matched else "not taken",
    )  # fmt: skip
    return best, "taken" if matched else "not taken"


def matched_start(pairs: Sequence[ImagePair], matcher: Matcher) -> Floats | None:
    """3x3 rgb_from_thermal that most matches of all pairs agree on; None, and a warning, where none do.

    Raises ModelError.
    """
    found = _agreement(pairs, matcher)
    if found.motion is None:
        log.warning(
            "%s: only %d of %d matches in %d pairs agree, expected %d or more and %.0f%% of them: not used",
            matcher.name, *found[1:], _MIN_AGREEING, 100 * _MIN_SHARE,
        )  # fmt: skip
    else:
        log.info("%s: %d of %d matches agree in %d pairs", matcher.name, *found[1:])
    return found.motion


class PairMatching:
    """Where a matcher sees the two images of one pair, for the online refinement."""

    def __init__(self, matcher: Matcher, reference: str) -> None:
        """reference: the camera whose view both images are in."""
        self._matcher, self._reference = matcher, reference

    def __call__(self, warped: Image, reference: Image) -> Floats | None:
        """As Matching. Raises ModelError."""
        by_rgb = self._reference == "rgb"
        pair = (warped, reference) if by_rgb else (reference, warped)
        motion = _agreement([pair], self._matcher).motion
        # Matches that all lie in one place agree as well.
        if motion is None or not 1 / _MOST_SCALE < abs(np.linalg.det(motion)) ** 0.5 < _MOST_SCALE:
            return None
        return motion if by_rgb else np.asarray(np.linalg.inv(motion), np.float64)

    def close(self) -> None:
        """Free the model."""
        self._matcher.close()


class _Agreement(NamedTuple):
    motion: Floats | None
    """3x3, None where too few matches agree"""
    agreeing: int
    matches: int
    pairs: int


def _agreement(pairs: Sequence[ImagePair], matcher: Matcher) -> _Agreement:
    """What most matches of (some of) the pairs agree on. Raises ModelError."""
    found = [matcher(*pair) for pair in pairs[:: -(-len(pairs) // _MOST_PAIRS)]]
    thermal, visible, confidence = (
        np.concatenate([getattr(one, name) for one in found])
        for name in ("thermal", "visible", "confidence")
    )
    sure = confidence >= _LEAST_CONFIDENCE
    thermal, visible = thermal[sure], visible[sure]
    near_px = _AGREEING_PX * max(1.0, found[0].pixel)
    matrix, agreeing = None, 0
    if len(thermal) >= _MIN_AGREEING:
        # An affine tells whether they agree at all; a homography bends itself around a few wrong ones.
        matrix, mask = cv2.estimateAffine2D(
            thermal, visible, method=cv2.RANSAC, ransacReprojThreshold=near_px, maxIters=10000
        )
        agreeing = 0 if mask is None else int(mask.sum())
    motion = None
    if matrix is not None and agreeing >= max(_MIN_AGREEING, _MIN_SHARE * len(thermal)):
        motion = np.vstack([np.asarray(matrix, np.float64), [0.0, 0.0, 1.0]])
    return _Agreement(motion, agreeing, len(thermal), len(found))


def load_matcher(name: str, *, threads: int = 0) -> Matcher:
    """The matcher of a name in models.yaml, or of a file. Raises as Matcher does."""
    return Matcher(resolve_model(name, "matching"), threads=threads)


def _check_names(kind: str, found: Mapping[str, TensorInfo], wanted: tuple[str, ...], model: str) -> None:
    wrong = [name for name in wanted if name not in found]
    extra = sorted(set(found) - set(wanted)) if kind == "inputs" else []
    kinds = [name for name in wanted if name in found and found[name].dtype != np.float32]
    if wrong or extra or kinds:
        has = ", ".join(f"{name} {info}" for name, info in found.items())
        other = looks_like(found, "matching") if kind == "inputs" else ""
        advice = other or "export it with these names (docs/calibration.md, Matchers)"
        raise ModelError(
            f"matcher {model} has the {kind} {has}; expected {' and '.join(wanted)}, float32: {advice}"
        )


def _fixed_size(info: TensorInfo, name: str, model: str) -> Size | None:
    """(width, height) that an input is fixed to, None where it is free. Raises ModelError."""
    shape = info.shape or (None,) * 4
    plane = len(shape) == 4 and all(side in (None, 1) for side in shape[:2])
    if not plane or (shape[2] is None) != (shape[3] is None):
        raise ModelError(f"matcher {model}: input {name} is {info}, expected float32 (1, 1, H, W), grey")
    return None if shape[2] is None or shape[3] is None else (shape[3], shape[2])


def _free_size(size: Size) -> Size:
    factor = min(1.0, _LONGEST_PX / max(size))
    width, height = (max(_STRIDE, round(side * factor / _STRIDE) * _STRIDE) for side in size)
    return width, height


def _checked(found: Mapping[str, Array], model: str) -> tuple[Floats, Floats]:
    """Matches (N, 4) and confidence (N,). Raises ModelError."""
    matches, confidence = (np.asarray(found[name], np.float64) for name in OUTPUTS)
    fits = matches.ndim == 2 and matches.shape[1] == 4 and confidence.shape == matches.shape[:1]
    if not fits:
        raise ModelError(
            f"matcher {model} gave matches {matches.shape} and confidence {confidence.shape}, expected "
            "(N, 4), x and y in the thermal and in the visible image, and (N,)"
        )
    if not (np.isfinite(matches).all() and np.isfinite(confidence).all()):
        raise ModelError(f"matcher {model} gave matches that are not finite")
    if confidence.size and not (confidence.min() >= 0 and confidence.max() <= 1):
        raise ModelError(
            f"matcher {model} gave confidences of {confidence.min():g} to {confidence.max():g}, "
            "expected 0 to 1"
        )
    return matches, confidence
