"""A calibration from ordinary scenes, without a board."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ivfusion_ros.calibrate.any_size import SizeFound, find_size
from ivfusion_ros.calibrate.choices import MatcherAnswer, SceneModel
from ivfusion_ros.calibrate.collect import check_sizes
from ivfusion_ros.calibrate.matcher import Matcher, align_by
from ivfusion_ros.calibrate.scene_rig import Lenses, SceneRig, fit_scene_rig, published_lenses
from ivfusion_ros.config.pipeline import ThermalConfig
from ivfusion_ros.errors import DataError
from ivfusion_ros.geometry.calibration import Calibration
from ivfusion_ros.images.encodings import to_grey
from ivfusion_ros.images.thermal import ThermalScaler
from ivfusion_ros.registration.scene.align import Alignment, ImagePair
from ivfusion_ros.types import CameraName, Floats, FramePair, Image, Size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ivfusion_ros.calibrate.pairs import NamedPair

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class SceneFit:
    """A calibration without a board.

    model: what was fitted. alignment: how well the images agree. rig: what the lenses gave, where the model
    is a rig. doubt: why it is none, where it could have been. width: of the thermal view in widths of the
    RGB one, where nothing but the images told it. example: the last pair, as it was matched.
    """

    calibration: Calibration
    model: SceneModel
    alignment: Alignment
    example: FramePair
    rig: SceneRig | None = None
    doubt: str | None = None
    width: float | None = None


@dataclass(frozen=True)
class Fields:
    """Horizontal fields of view of both lenses, degrees, as datasheets have them."""

    thermal_deg: float
    rgb_deg: float

    def rgb_from_thermal(self, sizes: dict[CameraName, Size]) -> Floats:
        """3x3 between images of those sizes, for cameras without distortion that look the same way."""
        thermal = _centred_matrix(sizes["thermal"], self.thermal_deg)
        return _centred_matrix(sizes["rgb"], self.rgb_deg) @ np.linalg.inv(thermal)


def _centred_matrix(size: Size, hfov_deg: float) -> Floats:
    width, height = size
    focal = width / 2 / np.tan(np.radians(hfov_deg) / 2)
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])


def fit_scenes(
    pairs: Iterable[NamedPair],
    model: SceneModel | None = None,
    baseline_m: float | None = None,
    fields: Fields | None = None,
    matcher: Matcher | None = None,
) -> SceneFit:
    """One calibration from all pairs. Raises DataError where it cannot be trusted.

    model: rig takes the lenses from camera_info, and so is the exact one; None takes it where both cameras
    publish lenses that fit the images, else homography. baseline_m: between the lenses, with which a rig
    knows distances; without it, it becomes a map for the scenes' median distance. fields: to start from
    instead of camera_info, then without a rig; without either, the images must tell how wide both views
    are. matcher: of the user's, which tells another place to start from.
    """
    scenes = _read(pairs)
    log.info("aligning %d pairs with each other, which may take a minute", len(scenes.images))
    doubt = None
    if model == "rig" or (model is None and fields is None):
        fit = _by_rig(scenes, baseline_m, matcher)
        if isinstance(fit, SceneFit):
            return fit
        if model == "rig":
            raise DataError(
                f"no rig can be made from these scenes: {fit}; use a board (--board), or --model homography"
            )
        doubt = fit if scenes.lenses is not None else None
    initial, size = scenes.start(fields), None
    if initial is None:
        size = find_size(scenes.images)
        initial = size.initial
    planar: Literal["homography", "affine"] = "affine" if model == "affine" else "homography"
    alignment, answer = align_by(scenes.images, initial, planar, matcher)
    size = None if answer == "taken" else size
    _check(alignment, size)
    calibration = Calibration(
        scenes.sizes["thermal"],
        scenes.sizes["rgb"],
        alignment.rgb_from_thermal,
        quality=_quality(planar, alignment, alignment.split_px) | _asked(matcher, answer),
    )
    width = None if size is None else size.width
    return SceneFit(calibration, planar, alignment, scenes.example, doubt=doubt, width=width)


@dataclass(frozen=True, eq=False)
class _Scenes:
    images: list[ImagePair]
    sizes: dict[CameraName, Size]
    lenses: Lenses | None
    example: FramePair

    def start(self, fields: Fields | None) -> Floats | None:
        """rgb_from_thermal for cameras that look the same way, None where their lenses are unknown."""
        if fields is not None:
            return fields.rgb_from_thermal(self.sizes)
        return None if self.lenses is None else self.lenses.rgb_from_thermal


def _read(pairs: Iterable[NamedPair]) -> _Scenes:
    sizes: dict[CameraName, Size] = {}
    images: list[ImagePair] = []
    example, lenses = None, None
    for name, pair in pairs:
        check_sizes(sizes, name, pair)
        images.append((_thermal_grey(pair), np.asarray(to_grey(pair.rgb.image), np.uint8)))
        lenses = published_lenses(pair) if lenses is None else lenses
        example = pair
    if example is None:
        raise DataError(
            "there are no pairs of a thermal and an RGB image; check the topics or folders, and the offset "
            "between the clocks (--time-offset)"
        )
    return _Scenes(images, sizes, lenses, example)


def _by_rig(scenes: _Scenes, baseline_m: float | None, matcher: Matcher | None) -> SceneFit | str:
    """With published lenses, or why not."""
    if scenes.lenses is None:
        return "the cameras publish no camera_info with a calibration"
    try:
        rig = fit_scene_rig(scenes.images, scenes.lenses, matcher)
    except DataError as error:
        return str(error)
    if rig.doubt is not None:
        return rig.doubt
    quality = _quality("rig", rig.alignment, rig.split_px) | _asked(matcher, rig.answer)
    quality["across_px"] = round(rig.views.across_px, 2)
    quality["distance_baselines"] = round(rig.views.distance, 1)
    calibration = replace(rig.calibration(baseline_m), quality=quality)
    return SceneFit(calibration, "rig", rig.alignment, scenes.example, rig)


def _quality(model: SceneModel, alignment: Alignment, split_px: float) -> dict[str, Any]:
    return {
        "method": "targetless",
        "model": model,
        "confidence": round(alignment.confidence, 3),
        "agreement": round(alignment.agreement, 3),
        "split_px": round(split_px, 2),
        "frames": alignment.frames,
    }


def _asked(matcher: Matcher | None, answer: MatcherAnswer) -> dict[str, str]:
    if matcher is None:
        return {"matcher": "none"}
    return {"matcher": matcher.name, "matcher_answer": answer}


def _thermal_grey(pair: FramePair) -> Image:
    # Each frame on its own: they are far apart in time.
    return ThermalScaler(ThermalConfig())(pair.thermal.image, pair.thermal.stamp_ns)


def _check(alignment: Alignment, size: SizeFound | None) -> None:
    """size: where nothing but the images told it."""
    if not alignment.trusted:
        lenses = "" if size is None else "; tell the lenses' fields of view where you know them (--hfov)"
        raise DataError(
            f"the images do not agree on one alignment: confidence {alignment.confidence:.2f}, expected "
            f"0.5 or more (from {alignment.frames} pairs); record various scenes with edges that both "
            "cameras see, such as buildings, cars and people by day, at the distances that matter, or use "
            f"a board (--board){lenses}"
        )
    if size is not None and size.doubt is not None:
        raise DataError(
            f"the images do not tell how wide the lenses see: {size.doubt}; tell their fields of view "
            "(--hfov THERMAL RGB), record camera_info, or more various scenes, or use a board (--board)"
        )
