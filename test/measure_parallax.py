"""Near people under the dense residual: python test/measure_parallax.py [--rate 1].

Simulated streets by day, dusk and night, three seeds each, registered by the plane at 15 m, which leaves
what is nearer aside by up to 13 px. Errors in RGB pixels by the simulator's truth, without and with the
residual: of people nearer than 8 m (each one's median), and of all the view. Then what it
costs, on real pairs where they are at hand.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import cv2
import numpy as np
from measure_matching import read, spread, stems

from ivfusion_ros.config.pipeline import ThermalConfig
from ivfusion_ros.images.thermal import ThermalScaler
from ivfusion_ros.registration.scene.dense import dense_residual
from ivfusion_ros.simulate import SceneConfig, Simulator

if TYPE_CHECKING:
    from ivfusion_ros.types import Floats

PLANE_M, NEAR_M, SECONDS, BODY_M = 15.0, 8.0, 8.0, 0.8


def moved_by(simulator: Simulator, time_s: float) -> tuple[Floats, Floats, Floats, float]:
    """(H, W) errors before and after, depth, and the share that was kept."""
    at_plane = np.stack(simulator.static_map(PLANE_M), axis=-1)
    truth = simulator.rgb_from_thermal_map(time_s)
    scale = simulator.cameras["rgb"].matrix[0, 0] / simulator.cameras["thermal"].matrix[0, 0]
    wanted = (truth - at_plane) * scale
    grey = ThermalScaler(ThermalConfig())(simulator.thermal_at(time_s), round(time_s * 1e9))
    pixels = np.nan_to_num(at_plane, nan=-2.0)
    aligned = np.asarray(cv2.remap(grey, pixels, None, cv2.INTER_LINEAR), np.uint8)
    visible = np.asarray(cv2.cvtColor(simulator.rgb_at(time_s), cv2.COLOR_RGB2GRAY), np.uint8)
    residual = dense_residual(aligned, visible)
    rest = wanted - np.stack([residual.map_x, residual.map_y], axis=-1)
    return (
        np.hypot(*np.moveaxis(wanted, 2, 0)),
        np.hypot(*np.moveaxis(rest, 2, 0)),
        simulator.depth(time_s, "rgb"),
        residual.kept,
    )


def near_people(simulator: Simulator, time_s: float, maps: tuple[Floats, ...]) -> list[tuple[float, ...]]:
    """For each, its median of each map (H, W), the last of which is the depth."""
    depth, found = maps[-1], []
    for item in simulator.boxes(time_s, "rgb"):
        left, top, right, bottom = (max(0, int(value)) for value in item.box_xyxy)
        if item.class_name != "person" or right - left < 8 or bottom - top < 24:
            continue
        box = np.s_[top:bottom, left:right]
        body = (np.abs(depth[box] - np.nanmin(depth[box])) < BODY_M) & (depth[box] < NEAR_M)
        if body.sum() > 200 and all(np.isfinite(one[box][body]).all() for one in maps):
            found.append(tuple(float(np.median(one[box][body])) for one in maps))
    return found


def report(illumination: str, seeds: int, rate: float) -> None:
    people: list[tuple[float, ...]] = []
    whole: list[tuple[float, ...]] = []
    for seed in range(seeds):
        simulator = Simulator(SceneConfig(seed=seed, illumination=illumination, duration_s=SECONDS))
        for time_s in np.arange(0, SECONDS, 1 / rate):
            before, after, depth, kept = moved_by(simulator, float(time_s))
            whole.append((float(np.nanmean(before)), float(np.nanmean(after)), kept))
            people += near_people(simulator, float(time_s), (before, after, depth))
    for name, rows in (("near people", people), ("all of the view", whole)):
        before, after = np.array(rows).T[:2]
        print(
            f"| {illumination}, {name} | {len(rows)} | {np.median(before):.2f} | {np.median(after):.2f} "
            f"| {np.percentile(after, 90):.2f} | {(after < 2).mean():.0%} | {(after > before + 0.5).sum()} "
            f"| {np.mean([row[2] for row in whole]):.2f} |",
            flush=True,
        )


def cost() -> None:
    names = spread(stems("msrs"), 30)
    pairs = [(read("msrs", "thermal", name), read("msrs", "rgb", name)) for name in names]
    found = dense_residual(*pairs[0])
    times: dict[str, list[float]] = {"residual": [], "its warp": []}
    for pair in pairs * 3:
        begin_s = time.thread_time()
        dense_residual(*pair)
        middle_s = time.thread_time()
        found.apply(pair[0])
        times["residual"].append(middle_s - begin_s)
        times["its warp"].append(time.thread_time() - middle_s)
    for name, taken in times.items():
        print(f"{name}: {np.median(taken) * 1e3:.1f} ms at 640x480, one thread")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rate", type=float, default=1.0, help="pairs a second")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    print("| scene | number | before px | after px | 90% | under 2 px | worse by .5 px | kept |")
    print("|---|---|---|---|---|---|---|---|")
    for illumination in ("day", "dusk", "night"):
        report(illumination, options.seeds, options.rate)
    if stems("msrs"):
        cost()


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
