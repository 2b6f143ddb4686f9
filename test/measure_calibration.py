"""Prints how exact calibrations are on simulated rigs, by a board, by ordinary scenes, with other lenses.

Run: python test/measure_calibration.py [board | scenes | fields] [--boards SPEC ...] [--baselines M ...]
[--seeds N ...]
"""

from __future__ import annotations

import argparse
import logging
import time
from dataclasses import dataclass

import cv2
import numpy as np
from board_images import as_rgb, as_thermal, make_painters, make_poses, rig

from ivfusion_ros.calibrate.boards import parse_board
from ivfusion_ros.calibrate.collect import collect_views
from ivfusion_ros.calibrate.solve import solve_rig
from ivfusion_ros.calibrate.targetless import Fields, fit_scenes
from ivfusion_ros.errors import DataError
from ivfusion_ros.geometry.calibration import Remap
from ivfusion_ros.geometry.maps import look_up
from ivfusion_ros.geometry.warp import Warp
from ivfusion_ros.simulate import RgbConfig, RigConfig, SceneConfig, Simulator, ThermalCameraConfig
from ivfusion_ros.types import Frame, FramePair

BASELINES_M = (0.05, 0.1, 0.2)
BOARDS = (
    "checkerboard:8x6:0.08",
    "asymmetric_circles:4x9:0.06",
    "apriltag:5x4:0.12:0.04",
    "charuco:8x6:0.08:0.06",
)
SCENE_PAIRS = 6


def measure_board(specification: str, baseline_m: float, views: int = 24) -> None:
    """Boards 1 to 5 m away, thermal inverted; error of thermal pixels against truth at 5 m."""
    board, config = parse_board(specification), rig(baseline_m)
    painters, random = make_painters(board, config), np.random.default_rng(7)
    pairs = []
    for index, pose in enumerate(make_poses(board, views, random, (1.0, 5.0))):
        counts = as_thermal(painters["thermal"].paint(pose), random)
        colours = as_rgb(painters["rgb"].paint(pose), random)
        pairs.append((str(index), FramePair(Frame(counts, 0), Frame(colours, 0))))
    start = time.perf_counter()
    collected = collect_views(board, pairs)
    searched = time.perf_counter()
    try:
        fit = solve_rig(
            board, collected.views, collected.sizes, {"thermal": "plumb_bob", "rgb": "plumb_bob"}
        )
    except DataError as error:
        print(f"{specification:30} {100 * baseline_m:3.0f} cm  failed: {error}")
        return
    thermal = painters["thermal"].camera
    found = fit.rig.rgb_from_thermal
    turn = np.degrees(np.linalg.norm(cv2.Rodrigues(found.rotation @ thermal.rotation)[0]))
    moved_mm = 1000 * np.linalg.norm(found.translation_m - thermal.position)
    focal = [
        100 * abs(getattr(fit.rig, name).matrix[0, 0] / painter.camera.matrix[0, 0] - 1)
        for name, painter in painters.items()
    ]
    grid = np.stack(np.meshgrid(np.linspace(40, 600, 12), np.linspace(30, 450, 9)), -1).reshape(-1, 2)
    rays = painters["rgb"].camera.rays()
    slopes = rays[np.round(grid[:, 1]).astype(int), np.round(grid[:, 0]).astype(int)]
    true = thermal.project(np.concatenate([slopes * 5.0, np.full((len(grid), 1), 5.0)], axis=1))
    apart = np.linalg.norm(fit.rig.other_pixels(np.round(grid), 5.0, "rgb") - true, axis=1)
    print(
        f"{specification:30} {100 * baseline_m:3.0f} cm  shared {len(fit.shared.views):2}  "
        f"RMS {fit.shared.rms_px():.3f} px (thermal {fit.shared.rms_px('thermal'):.3f}, "
        f"RGB {fit.shared.rms_px('rgb'):.3f})  focal {max(focal):.2f} %  turn {turn:.3f} deg  "
        f"position {moved_mm:.1f} mm  at 5 m {np.nanmean(apart):.2f} px mean  "
        f"{1000 * (searched - start) / views:.0f} ms/pair",
        flush=True,
    )


@dataclass(frozen=True)
class Truth:
    """Of every fourth pixel that both cameras see, in all scenes: pixels, depth and strength of edges."""

    thermal: np.ndarray
    rgb: np.ndarray
    depth: np.ndarray
    edge: np.ndarray

    def error_px(self, thermal: np.ndarray, magnification: float) -> np.ndarray:
        """Of thermal pixels found for the RGB ones, in RGB pixels."""
        return magnification * np.linalg.norm(thermal - self.thermal, axis=1)


def measure_scenes(baseline_m: float, seed: int) -> None:
    """Ordinary street scenes; error of what really lies at the scenes' main depth, RGB pixels.

    With the cameras' lenses (camera_info), and without, as from folders of images.
    """
    thermal_camera = ThermalCameraConfig(
        position_m=(baseline_m, -0.02, 0.01), shutter_interval_s=0.0, clock_offset_ms=0.0
    )
    config = RigConfig(RgbConfig(distortion=(-0.06, 0.01)), thermal_camera)
    pairs, truths = [], []
    for index in range(SCENE_PAIRS):
        scene = SceneConfig(seed=10 * seed + index, illumination=("day", "dusk", "night")[index % 3])
        simulator = Simulator(scene, config)
        thermal, rgb = simulator.frame(1.0, "thermal"), simulator.frame(1.0, "rgb")
        pairs.append((str(index), FramePair(thermal, rgb)))
        truths.append(_truth(simulator, rgb.image))
    truth = Truth(*(np.concatenate(part) for part in zip(*truths, strict=True)))
    main_m = _main_depth(truth.depth, truth.edge)
    near = np.abs(np.log(truth.depth / main_m)) < np.log(1.25)
    magnification = simulator.cameras["rgb"].matrix[0, 0] / simulator.cameras["thermal"].matrix[0, 0]
    # What a homography cannot describe, as it has no lens distortion, and what no plane can.
    best, _ = cv2.findHomography(truth.rgb[near], truth.thermal[near])
    homography = cv2.perspectiveTransform(truth.rgb[:, None], best)[:, 0]
    exact = look_up(Remap(*simulator.static_map(main_m)), truth.rgb)
    floors = [np.nanmean(truth.error_px(found, magnification)[near]) for found in (homography, exact)]
    name = f"scenes {100 * baseline_m:3.0f} cm seed {seed}"
    print(
        f"{name}  main depth {main_m:.1f} m; mean error there of the best homography {floors[0]:.2f} px, "
        f"of the true rig {floors[1]:.2f} px",
        flush=True,
    )
    for lenses in (True, False):
        given = pairs if lenses else [(item, _without_lenses(pair)) for item, pair in pairs]
        start = time.process_time()
        try:
            fit = fit_scenes(given)
        except DataError as error:
            print(f"{name}  failed: {error}")
            continue
        used_s = time.process_time() - start
        warp, sizes = Warp(fit.calibration), (fit.calibration.thermal_size, fit.calibration.rgb_size)
        apart = truth.error_px(warp.point_map(*sizes)(truth.rgb), magnification)
        far = f", distance {fit.rig.views.distance * _length(thermal_camera):.1f} m" if fit.rig else ""
        print(
            f"{name}  {'camera_info' if lenses else 'images only'}: {fit.model}, mean error at the main "
            f"depth {np.nanmean(apart[near]):.2f} px, at all depths {np.nanmean(apart):.2f} px  "
            f"confidence {fit.alignment.confidence:.2f}{far}  {used_s:.1f} CPU s",
            flush=True,
        )


FIELDS = (
    ((320, 256, 24.0), (640, 480, 90.0)),
    ((320, 256, 90.0), (640, 480, 30.0)),
    ((256, 320, 35.0), (640, 360, 60.0)),
)
"""Width, height and horizontal field in degrees, of thermal and RGB cameras."""


def measure_fields(thermal: tuple, rgb: tuple, first_seed: int) -> None:
    """Six streets through lenses of different fields; least error over the distances, RGB pixels."""
    names = ("width", "height", "hfov_deg")
    config = RigConfig(
        RgbConfig(**dict(zip(names, rgb, strict=True))),
        ThermalCameraConfig(
            **dict(zip(names, thermal, strict=True)),
            position_m=(0.06, -0.02, 0.01),
            shutter_interval_s=0.0,
            clock_offset_ms=0.0,
        ),
    )
    pairs = []
    for seed in range(first_seed, first_seed + SCENE_PAIRS):
        simulator = Simulator(SceneConfig(seed=seed, illumination=("day", "dusk")[seed % 2]), config)
        pairs.append((str(seed), FramePair(simulator.frame(2.0, "thermal"), simulator.frame(2.0, "rgb"))))
    plain = [(name, _without_lenses(pair)) for name, pair in pairs]
    magnification = simulator.cameras["rgb"].matrix[0, 0] / simulator.cameras["thermal"].matrix[0, 0]
    fields = Fields(thermal[2], rgb[2])
    for label, given, known in (
        ("camera_info", pairs, None),
        ("hfov", plain, fields),
        ("neither", plain, None),
    ):
        name = f"thermal {thermal}, RGB {rgb}, {label}"
        try:
            fit = fit_scenes(given, fields=known)
        except DataError as error:
            print(f"{name}  refused: {str(error)[:80]}", flush=True)
            continue
        way = Warp(fit.calibration).point_map(thermal[:2], rgb[:2])
        errors = []
        for distance_m in (8.0, 10.0, 12.0, 15.0, 20.0, 30.0, 60.0):
            x, y = simulator.static_map(distance_m)
            rows, columns = np.nonzero(np.isfinite(x))
            found = way(np.stack([columns, rows], axis=1).astype(float))
            apart = np.hypot(found[:, 0] - x[rows, columns], found[:, 1] - y[rows, columns])
            errors.append((magnification * float(np.nanmean(apart)), distance_m))
        print(
            f"{name}  {fit.model}, {min(errors)[0]:.2f} px at {min(errors)[1]:g} m, confidence "
            f"{fit.alignment.confidence:.2f}",
            flush=True,
        )


def _length(camera: ThermalCameraConfig) -> float:
    return float(np.linalg.norm(camera.position_m))


def _without_lenses(pair: FramePair) -> FramePair:
    return FramePair(Frame(pair.thermal.image, 0), Frame(pair.rgb.image, 0))


def _truth(simulator: Simulator, rgb: np.ndarray) -> tuple[np.ndarray, ...]:
    """Thermal pixel, RGB pixel, depth and strength of edges, of every fourth pixel that both see."""
    thermal = simulator.rgb_from_thermal_map(1.0).astype(float)
    rows, columns = np.mgrid[: thermal.shape[0], : thermal.shape[1]].astype(float)
    smooth = cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.5)
    edge = cv2.magnitude(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
    depth = simulator.depth(1.0, "rgb")
    seen = np.isfinite(thermal[..., 0]) & (depth < 200) & (rows % 4 == 0) & (columns % 4 == 0)
    return thermal[seen], np.stack([columns[seen], rows[seen]], axis=1), depth[seen], edge[seen]


def _main_depth(depth: np.ndarray, edge: np.ndarray) -> float:
    """Median distance of the edges: of what can be matched, and of what is looked at."""
    order = np.argsort(depth)
    total = np.cumsum(edge[order], dtype=float)
    return float(depth[order][np.searchsorted(total, total[-1] / 2)])


def main() -> None:
    """Print all figures, or those asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("which", nargs="?", choices=("board", "scenes", "fields"))
    parser.add_argument("--boards", nargs="+", default=BOARDS)
    parser.add_argument("--baselines", nargs="+", type=float, default=BASELINES_M, metavar="M")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1], help="of the scenes")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    if options.which in (None, "board"):
        for specification in options.boards:
            for baseline_m in options.baselines:
                measure_board(specification, baseline_m)
    if options.which in (None, "scenes"):
        for seed in options.seeds:
            for baseline_m in options.baselines:
                measure_scenes(baseline_m, seed)
    if options.which == "fields":
        for seed in options.seeds:
            for thermal, rgb in FIELDS:
                measure_fields(thermal, rgb, seed)


if __name__ == "__main__":
    main()
