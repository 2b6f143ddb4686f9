"""From pairs to a calibration with its figures and its picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.calibrate.collect import Collected, collect_views
from ivfusion_ros.calibrate.enhance import stretch_to_8_bit
from ivfusion_ros.calibrate.report import Overlay, scene_report, target_report
from ivfusion_ros.calibrate.solve import RigFit, solve_rig
from ivfusion_ros.calibrate.targetless import SceneModel, fit_scenes
from ivfusion_ros.geometry.calibration import Calibration
from ivfusion_ros.geometry.maps import pixel_grid
from ivfusion_ros.geometry.rig import Extrinsics, RigParts
from ivfusion_ros.geometry.warp import Warp
from ivfusion_ros.types import CAMERAS, CameraName, Floats32, FramePair, Image

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ivfusion_ros.calibrate.boards import Board
    from ivfusion_ros.calibrate.pairs import NamedPair
    from ivfusion_ros.calibrate.scene_rig import SceneRig
    from ivfusion_ros.geometry.camera import CameraModel


@dataclass(frozen=True, eq=False)
class Outcome:
    """A calibration; report: its picture, (H, W, 3) RGB; lines, warnings: what to tell the user."""

    calibration: Calibration
    report: Image
    lines: list[str]
    warnings: list[str] = field(default_factory=list)


def calibrate_by_board(
    board: Board,
    specification: str,
    pairs: Iterable[NamedPair],
    models: dict[CameraName, str],
    plane_distance_m: float,
) -> Outcome:
    """By a board that both cameras see. Raises DataError, with advice, where it fails."""
    collected = collect_views(board, pairs)
    fit = solve_rig(board, collected.views, collected.sizes, models)
    parts = RigParts(fit.rig.thermal, fit.rig.rgb, fit.rig.rgb_from_thermal, plane_distance_m)
    sizes = collected.sizes
    quality = {"method": "board", "board": specification, **_figures(fit)}
    calibration = Calibration(sizes["thermal"], sizes["rgb"], rig=parts, quality=quality)
    return Outcome(
        calibration,
        target_report(fit, _example(fit, calibration, collected), sizes),
        _lines(fit),
        fit.warnings,
    )


def calibrate_by_scenes(
    pairs: Iterable[NamedPair], model: SceneModel | None = None, baseline_m: float | None = None
) -> Outcome:
    """By ordinary scenes; options as in fit_scenes. Raises DataError, with advice, where it fails."""
    fit = fit_scenes(pairs, model, baseline_m)
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


def _example(fit: RigFit, calibration: Calibration, collected: Collected) -> Overlay:
    """The best pair, warped as if all were on the board's plane there, if it is known."""
    poses = {
        view.name: pose for view, pose in zip(fit.shared.views, fit.shared.rgb_from_board, strict=True)
    }
    for view, pair in collected.best:
        if view.name in poses:
            return _overlay(Warp(calibration), pair, _board_depth(fit.rig.rgb, poses[view.name]))
    return _overlay(Warp(calibration), collected.best[0][1])


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
