"""From pairs to a calibration with its figures and its picture."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.calibrate.by_distance import (
    ErrorAt,
    errors_by_distance,
    rigs_without_parts,
    translation_error_m,
)
from ivfusion_ros.calibrate.collect import Collected, collect_views
from ivfusion_ros.calibrate.enhance import stretch_to_8_bit
from ivfusion_ros.calibrate.left_out import reasons_left_out
from ivfusion_ros.calibrate.lens import rms
from ivfusion_ros.calibrate.report import Overlay, scene_report, target_report
from ivfusion_ros.calibrate.solve import RigFit, solve_rig
from ivfusion_ros.calibrate.targetless import Fields, fit_scenes
from ivfusion_ros.geometry.calibration import Calibration
from ivfusion_ros.geometry.maps import pixel_grid
from ivfusion_ros.geometry.rig import Extrinsics, RigParts
from ivfusion_ros.geometry.warp import Warp
from ivfusion_ros.types import CAMERAS, CameraName, Floats, Floats32, FramePair, Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ivfusion_ros.calibrate.boards import Board
    from ivfusion_ros.calibrate.choices import SceneModel
    from ivfusion_ros.calibrate.matcher import Matcher
    from ivfusion_ros.calibrate.pairs import NamedPair
    from ivfusion_ros.calibrate.scene_rig import SceneRig
    from ivfusion_ros.geometry.camera import CameraModel


@dataclass(frozen=True, eq=False)
class Outcome:
    """A calibration; report: its picture, (H, W, 3) RGB; lines, warnings: what to tell the user.

    findings: what a program reads, for JSON.
    """

    calibration: Calibration
    report: Image
    lines: list[str]
    warnings: list[str] = field(default_factory=list)
    findings: dict[str, Any] = field(default_factory=dict)


def calibrate_by_board(
    board: Board,
    specification: str,
    pairs: Iterable[NamedPair],
    models: dict[CameraName, str],
    plane_distance_m: float,
    tell: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """By a board that both cameras see. Raises DataError, with advice, where it fails.

    tell: is called after each pair with how often the board was found, and what view is missing most.
    """
    collected = collect_views(board, pairs, tell)
    fit = solve_rig(board, collected.views, collected.sizes, models)
    parts = RigParts(fit.rig.thermal, fit.rig.rgb, fit.rig.rgb_from_thermal, plane_distance_m)
    sizes = collected.sizes
    quality = {"method": "board", "board": specification, **_figures(fit)}
    calibration = Calibration(sizes["thermal"], sizes["rgb"], rig=parts, quality=quality)
    left_out = reasons_left_out(fit, collected.views)
    others = rigs_without_parts(fit, collected.views, sizes, models)
    errors = errors_by_distance(fit.rig, others, sizes, plane_distance_m)
    error_m = translation_error_m(others)
    lines = [
        *_lines(fit),
        _place_line(fit.shared.rgb_from_thermal, error_m),
        _distance_line(errors, plane_distance_m),
        *(f"left out {name}: {reason}" for name, reason in left_out.items()),
    ]
    warnings = [*fit.warnings, *collected.missing]
    examples = _examples(fit, calibration, collected)
    picture = target_report(fit, next(iter(examples.values())), examples, errors, sizes)
    findings = {
        **_findings(fit, len(collected.views)),
        "translation_error_m": [round(float(e), 5) if np.isfinite(e) else None for e in error_m],
        "by_distance": [_known(asdict(error)) for error in errors],
        "left_out": left_out,
        "missing": collected.missing,
    }
    return Outcome(calibration, picture, lines, warnings, findings)


def calibrate_by_scenes(
    pairs: Iterable[NamedPair],
    model: SceneModel | None = None,
    baseline_m: float | None = None,
    fields: Fields | None = None,
    matcher: Matcher | None = None,
) -> Outcome:
    """By ordinary scenes; options as in fit_scenes. Raises DataError, with advice, where it fails."""
    fit = fit_scenes(pairs, model, baseline_m, fields, matcher)
    before, after = (_overlay(Warp(way), fit.example) for way in (None, fit.calibration))
    alignment = fit.alignment
    split_px = alignment.split_px if fit.rig is None else fit.rig.split_px
    lines = [
        f"{fit.model} from {alignment.frames} pairs: confidence {alignment.confidence:.2f}, agreement "
        f"{alignment.agreement:.2f}, halves {split_px:.1f} px apart"
    ]
    if fit.rig is not None:
        lines.append(_rig_line(fit.rig, baseline_m))
    warnings = [] if fit.doubt is None else [f"no rig, only a homography: {fit.doubt}"]
    if fit.width is not None:
        warnings.append(
            f"by the images alone, as there is no camera_info: the thermal view is {fit.width:.2f} times "
            "as wide as the RGB camera's; look at the picture, or tell the fields (--hfov THERMAL RGB)"
        )
    return Outcome(fit.calibration, scene_report(before, after, alignment.confidence), lines, warnings)


def _rig_line(rig: SceneRig, baseline_m: float | None) -> str:
    views = rig.views
    distance = f"{views.distance:.0f} times the distance between the lenses"
    if baseline_m is not None:
        distance = f"{views.distance * baseline_m:.1f} m"
    return (
        f"lenses of camera_info, places {views.across_px:.2f} px off their epipolar lines; both images "
        f"are aligned at the scenes' median distance, {distance}"
    )


def _examples(fit: RigFit, calibration: Calibration, collected: Collected) -> dict[str, Overlay]:
    """The nearest, a middle and the farthest kept pair, as if all were on the board's plane there."""
    poses = {
        view.name: pose for view, pose in zip(fit.shared.views, fit.shared.rgb_from_board, strict=True)
    }
    used = [(view, pair) for view, pair in collected.kept if view.name in poses]
    chosen = sorted({0, len(used) // 2, len(used) - 1}) if used else []
    examples = {}
    for view, pair in (used[index] for index in chosen):
        pose = poses[view.name]
        overlay = _overlay(Warp(calibration), pair, _board_depth(fit.rig.rgb, pose))
        examples[f"board at {np.linalg.norm(pose.translation_m):.1f} m, {view.name}"] = overlay
    # Where no kept pair was used, at least how the images lie at the plane of alignment.
    return examples or {"": _overlay(Warp(calibration), collected.kept[0][1])}


def _board_depth(rgb: CameraModel, rgb_from_board: Extrinsics) -> Floats32:
    """(H, W) metres along the RGB camera's axis; 0 (unknown) where the board's plane is not in front."""
    slopes = rgb.slopes(pixel_grid(rgb.size))
    rays = np.concatenate([slopes, np.ones((len(slopes), 1))], axis=1)
    normal = rgb_from_board.rotation[:, 2]
    with np.errstate(divide="ignore"):
        depth = (normal @ rgb_from_board.translation_m) / (rays @ normal)
    depth = np.where(np.isfinite(depth) & (depth > 0), depth, 0.0)
    return depth.reshape(rgb.size[::-1]).astype(np.float32)


def _overlay(warp: Warp, pair: FramePair, depth: Floats32 | None = None) -> Overlay:
    rgb = np.asarray(pair.rgb.image, np.uint8)
    return Overlay(warp(stretch_to_8_bit(pair.thermal.image), pair.rgb.size, depth), rgb)


def _figures(fit: RigFit) -> dict[str, Any]:
    shared = fit.shared
    return {
        "rms_px": round(shared.rms_px(), 3),
        "thermal_rms_px": round(shared.rms_px("thermal"), 3),
        "rgb_rms_px": round(shared.rms_px("rgb"), 3),
        "shared_views": len(shared.views),
        "thermal_coverage": round(fit.coverage["thermal"], 2),
        "rgb_coverage": round(fit.coverage["rgb"], 2),
        "baseline_m": round(float(np.linalg.norm(shared.rgb_from_thermal.translation_m)), 4),
    }


def _findings(fit: RigFit, tried: int) -> dict[str, Any]:
    """Beside the figures of the calibration's file: each camera alone, the pose, and each shared view."""
    shared = fit.shared
    errors = zip(shared.views, shared.residuals["thermal"], shared.residuals["rgb"], strict=True)
    return {
        "tried_pairs": tried,
        "cameras": {
            name: {
                "found": fit.found[name],
                "used": len(fit.lenses[name].used),
                "focal_px": round(float(fit.lenses[name].camera.matrix[0, 0]), 2),
                "rms_px": round(fit.lenses[name].rms_px, 3),
                "coverage": round(fit.coverage[name], 2),
            }
            for name in CAMERAS
        },
        "translation_m": shared.rgb_from_thermal.translation_m.round(5).tolist(),
        "views": {
            view.name: {"thermal_rms_px": round(rms(thermal), 3), "rgb_rms_px": round(rms(rgb), 3)}
            for view, thermal, rgb in errors
        },
    }


def _lines(fit: RigFit) -> list[str]:
    shared, lines = fit.shared, []
    for name in CAMERAS:
        lens = fit.lenses[name]
        lines.append(
            f"{name}: board found {fit.found[name]} times, {len(lens.used)} views used, focal length "
            f"{lens.camera.matrix[0, 0]:.1f} px, reprojection error {lens.rms_px:.3f} px RMS, seen in "
            f"{fit.coverage[name]:.0%} of the image"
        )
    baseline_m = float(np.linalg.norm(shared.rgb_from_thermal.translation_m))
    turn_deg = np.degrees(np.arccos(np.clip((np.trace(shared.rgb_from_thermal.rotation) - 1) / 2, -1, 1)))
    lines.append(
        f"both: {len(shared.views)} shared views, reprojection error {shared.rms_px():.3f} px RMS "
        f"(thermal {shared.rms_px('thermal'):.3f}, RGB {shared.rms_px('rgb'):.3f}), cameras "
        f"{100 * baseline_m:.1f} cm apart and turned by {turn_deg:.2f} degrees"
    )
    return lines


def _known(error: dict[str, float]) -> dict[str, float | None]:
    """Rounded; JSON has no NaN."""
    return {name: round(value, 3) if np.isfinite(value) else None for name, value in error.items()}


def _distance_line(errors: Sequence[ErrorAt], plane_distance_m: float) -> str:
    told = [error for error in errors if error.distance_m in (1.0, 5.0, 20.0)]
    sure = ", ".join(f"{error.error_px:.1f} at {error.distance_m:g} m" for error in told)
    aside = ", ".join(f"{error.aside_px:.1f} at {error.distance_m:g} m" for error in told)
    return (
        f"expected error, thermal pixels: {sure} where the distance is known; aligned at "
        f"{plane_distance_m:g} m, things lie aside by {aside}"
    )


def _place_line(rgb_from_thermal: Extrinsics, error_m: Floats) -> str:
    """Where the thermal camera is, in the RGB camera's axes."""
    # Rounded before, and 0 added, for no "-0.0".
    place = np.round(100 * rgb_from_thermal.translation_m, 1) + 0.0
    words = zip(("right", "down", "forward"), place, 100 * error_m, strict=True)
    parts = [
        f"{way} {value:.1f}" + (f" (± {error:.1f})" if np.isfinite(error) else "")
        for way, value, error in words
    ]
    return f"thermal camera seen from the RGB camera, cm and standard error: {', '.join(parts)}"
