"""Prints how near boxes of RGB come to the true ones in thermal images, on simulated streets.

Run: python test/measure_boxes.py [--seeds N]. The simulator knows each person's and car's box in both
cameras; the ones of RGB go to the thermal image by the way of the pipeline's boxes.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from ivfusion_ros.config.pipeline import RegistrationConfig, ThermalConfig
from ivfusion_ros.detection.native import Views, with_native_boxes
from ivfusion_ros.geometry.calibration import Calibration, write_calibration
from ivfusion_ros.geometry.camera import CameraModel
from ivfusion_ros.geometry.rig import Extrinsics, RigParts
from ivfusion_ros.graphs.yolo import box_iou
from ivfusion_ros.images.thermal import ThermalScaler
from ivfusion_ros.registration.registrar import build_registrar
from ivfusion_ros.simulate import RigConfig, SceneConfig, Simulator, ThermalCameraConfig
from ivfusion_ros.types import Detections, FramePair

PLANE_M = 15.0
TIMES_S = (1.0, 3.0, 5.0)
BANDS_M = ((0.0, 7.0), (7.0, 12.0), (12.0, 25.0), (25.0, 200.0))
WAYS = ("only scaled", "plane at 15 m", "dense residual", "depth image")


def true_rig(simulator: Simulator) -> RigParts:
    """The simulator's cameras as a calibration has them."""
    thermal, rgb = (
        CameraModel(
            (camera.width, camera.height),
            camera.matrix,
            "plumb_bob",
            np.array([*camera.distortion, 0, 0, 0]),
        )
        for camera in (simulator.cameras[name] for name in ("thermal", "rgb"))
    )
    camera = simulator.cameras["thermal"]
    return RigParts(thermal, rgb, Extrinsics(camera.rotation.T, np.asarray(camera.position)), PLANE_M)


def whole_boxes(simulator: Simulator, time_s: float, camera: str) -> dict[int, tuple]:
    """Of what is mostly seen and not cut by the image's border: box, distance, by identity."""
    sides = np.array([simulator.cameras[camera].width, simulator.cameras[camera].height])
    return {
        item.identity: (item.box_xyxy, item.depth_m)
        for item in simulator.boxes(time_s, camera)
        if item.visible_fraction > 0.5
        and min(item.box_xyxy) > 1
        and (np.array(item.box_xyxy[2:]) < sides - 1).all()
    }


def measure(seed: int, folder: Path, rows: list[tuple[str, float, float, float]]) -> None:
    """Add (way, distance in m, centre error in thermal pixels, IoU) of each object in a street."""
    rig = RigConfig(thermal=ThermalCameraConfig(shutter_interval_s=0.0, clock_offset_ms=0.0))
    simulator = Simulator(SceneConfig(seed=seed, illumination=("day", "dusk", "night")[seed % 3]), rig)
    parts = true_rig(simulator)
    path = folder / f"{seed}.yaml"
    write_calibration(path, Calibration(parts.thermal.size, parts.rgb.size, rig=parts))
    for time_s in TIMES_S:
        rgb, thermal = (whole_boxes(simulator, time_s, camera) for camera in ("rgb", "thermal"))
        both = sorted(set(rgb) & set(thermal))
        if not both:
            continue
        boxes = np.array([rgb[identity][0] for identity in both], np.float32)
        truth = np.array([thermal[identity][0] for identity in both], np.float32)
        found = Detections(boxes, np.ones(len(both), np.float32), np.zeros(len(both), int), ("object",))
        pair = FramePair(simulator.frame(time_s, "thermal"), simulator.frame(time_s, "rgb"))
        grey = ThermalScaler(ThermalConfig())(pair.thermal.image, 0)
        for way in WAYS:
            depth = simulator.depth(time_s, "rgb") if way == "depth image" else None
            config = RegistrationConfig(
                "" if way == "only scaled" else str(path),
                residual="dense" if way == "dense residual" else "off",
            )
            registered = build_registrar(config)(
                replace(pair, depth=depth), grey, pair.rgb.image, sound=True, stage=lambda _: None
            )
            views = Views(pair.frames, pair.rgb.size, registered.native_points, depth)
            moved = with_native_boxes(found, views).thermal_boxes_xyxy
            for identity, box, true in zip(both, moved, truth, strict=True):
                centre = float(np.hypot(*((box[:2] + box[2:]) / 2 - (true[:2] + true[2:]) / 2)))
                # A box that came out nowhere is as far off as can be.
                lost = bool(np.isnan(centre))
                iou = 0.0 if lost else float(box_iou(box, true[None])[0])
                rows.append((way, rgb[identity][1], np.inf if lost else centre, iou))


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=6, help="streets (default: %(default)s)")
    seeds = parser.parse_args().seeds
    rows: list[tuple[str, float, float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(1, seeds + 1):
            measure(seed, Path(folder), rows)
    print("| way | distance | objects | centre, median / 90% | IoU, median / 10% | IoU 0.5 or more |")
    print("|---|---|---|---|---|---|")
    for way in WAYS:
        for near_m, far_m in BANDS_M:
            chosen = [row[2:] for row in rows if row[0] == way and near_m <= row[1] < far_m]
            if not chosen:
                continue
            centre, iou = np.array(chosen).T
            print(
                f"| {way} | {near_m:g} to {far_m:g} m | {len(centre)} | {np.median(centre):.1f} / "
                f"{np.quantile(centre, 0.9):.1f} px | {np.median(iou):.2f} / {np.quantile(iou, 0.1):.2f} | "
                f"{(iou >= 0.5).mean():.0%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
