"""Figures of online refinement: python test/measure_refine.py [--frames 80] [--matcher].

Simulated streets, warped by their true geometry ("true") or by the plane at their main depth ("plane"),
and registered real clips where they are at hand. Errors are means over the image in px; ms are CPU time.
--matcher: instead, cameras that are bumped further or turned, without and with the matcher that ships.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import cv2
import numpy as np
from places import SHARED

from ivfusion_ros.calibrate.choices import SHIPPED_MATCHER
from ivfusion_ros.calibrate.matcher import PairMatching, load_matcher
from ivfusion_ros.config.pipeline import ThermalConfig
from ivfusion_ros.errors import ImageError
from ivfusion_ros.geometry.calibration import Calibration, Remap
from ivfusion_ros.geometry.maps import displacements_at
from ivfusion_ros.geometry.warp import Warp
from ivfusion_ros.images.thermal import ThermalScaler
from ivfusion_ros.images.video import VideoReader
from ivfusion_ros.registration.online.refine import OnlineRefinement, Refinement, RefinementConfig
from ivfusion_ros.simulate import SceneConfig, Simulator
from ivfusion_ros.types import Floats, Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ivfusion_ros.registration.online.leap import Matching


CLIPS = SHARED / "data" / "m3svd_video"
SIZE = (640, 480)
RATE_HZ = 10.0
START_NS = 10**18
MAIN_DEPTH_M = 15.0
BUMP_S = 2.0
GRID = np.stack(np.meshgrid(np.arange(8.0, 640, 16), np.arange(8.0, 480, 16)), -1).reshape(-1, 2)


@dataclass(frozen=True, eq=False)
class Clip:
    """thermal, reference: images of one size. parallax: (N, 2) what is off at GRID already, NaN unknown."""

    name: str
    thermal: list[Image]
    reference: list[Image]
    parallax: Floats


def simulated(illumination: str, seed: int, plane: bool, frames: int) -> Clip:
    simulator = Simulator(SceneConfig(seed=seed, illumination=illumination, duration_s=frames / RATE_HZ))
    scaler = ThermalScaler(ThermalConfig())
    at_plane = np.stack(simulator.static_map(MAIN_DEPTH_M), axis=-1)
    thermal, reference = [], []
    for index in range(frames):
        time_s = index / RATE_HZ
        pixels = at_plane if plane else np.nan_to_num(simulator.rgb_from_thermal_map(time_s), nan=-2.0)
        grey = scaler(simulator.thermal_at(time_s), round(time_s * 1e9))
        maps = cv2.convertMaps(np.ascontiguousarray(pixels, np.float32), None, cv2.CV_16SC2)
        thermal.append(np.asarray(cv2.remap(grey, *maps, cv2.INTER_LINEAR), np.uint8))
        reference.append(np.asarray(cv2.cvtColor(simulator.rgb_at(time_s), cv2.COLOR_RGB2GRAY), np.uint8))
    parallax = np.zeros((480, 640, 2))
    if plane:
        scale = simulator.cameras["rgb"].matrix[0, 0] / simulator.cameras["thermal"].matrix[0, 0]
        parallax = (simulator.rgb_from_thermal_map(time_s) - at_plane) * scale
    x, y = GRID.astype(int).T
    return Clip(f"{illumination} {seed} {'plane' if plane else 'true'}", thermal, reference, parallax[y, x])


def recorded(name: str, frames: int) -> Clip:
    every = 3
    both = []
    for camera in ("thermal", "rgb"):
        images = islice(VideoReader(CLIPS / camera / f"{name}.mp4"), 0, frames * every, every)
        both.append([np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8) for _, image in images])
    return Clip(f"m3svd {name}", both[0], both[1], np.zeros((len(GRID), 2)))


@dataclass(frozen=True)
class Outcome:
    """error_px: (K,) of each frame; last: what came out of the last one; ms: median of an update."""

    error_px: Floats
    last: Refinement
    ms: float


def play(
    clip: Clip,
    model: str,
    frames: int,
    off: Callable[[float], Floats],
    matching: Matching | None = None,
    max_px: float = 24.0,
) -> Outcome:
    """The clip forth and back, its thermal images off by a 3x3 that depends on the time in seconds."""
    refinement = OnlineRefinement(RefinementConfig(model=model, max_px=max_px), matching)
    count, errors, costs = len(clip.thermal), [], []
    for step in range(frames):
        time_s, phase = step / RATE_HZ, step % (2 * count - 2)
        index = min(phase, 2 * count - 2 - phase)
        matrix = off(time_s) if refinement.correction is None else refinement.correction @ off(time_s)
        warped = np.asarray(cv2.warpPerspective(clip.thermal[index], matrix, SIZE), np.uint8)
        valid = np.asarray(cv2.warpPerspective(np.full(SIZE[::-1], 255, np.uint8), matrix, SIZE), np.uint8)
        begin = time.thread_time()
        last = refinement.update(warped, clip.reference[index], START_NS + round(time_s * 1e9), valid=valid)
        costs.append(time.thread_time() - begin)
        rest = displacements_at(GRID, matrix) + clip.parallax
        errors.append(float(np.nanmean(np.hypot(rest[:, 0], rest[:, 1]))))
    refinement.close()
    return Outcome(np.array(errors), last, float(np.median(costs)) * 1e3)


def still(time_s: float) -> Floats:
    return np.eye(3)


def drifting(time_s: float) -> Floats:
    return np.array([[1.0, 0.0, 0.8 * time_s], [0.0, 1.0, -0.6 * time_s], [0.0, 0.0, 1.0]])


def bumped(time_s: float) -> Floats:
    """20 px at once, after two seconds."""
    return (
        np.array([[1.0, 0.0, 16.0], [0.0, 1.0, -12.0], [0.0, 0.0, 1.0]]) if time_s >= BUMP_S else np.eye(3)
    )


def turned(time_s: float) -> Floats:
    return np.vstack([cv2.getRotationMatrix2D((319.5, 239.5), 0.5, 1.0), [0.0, 0.0, 1.0]])


def moved(shift: tuple[float, float], degrees: float) -> Callable[[float], Floats]:
    """By so much at once, after two seconds."""
    matrix = np.vstack([cv2.getRotationMatrix2D((319.5, 239.5), degrees, 1.0), [0.0, 0.0, 1.0]])
    matrix[:2, 2] += shift
    return lambda time_s: matrix if time_s >= BUMP_S else np.eye(3)


def report_matcher(clip: Clip) -> None:
    """Where a bumped camera ends after 7 s, and when it came within 3 px of that; the matcher's harm."""
    row = [clip.name]
    for shift, degrees in (((16, -12), 2), ((16, -12), 4), ((40, 20), 0), ((40, 20), 3)):
        for matching in (None, PairMatching(load_matcher(SHIPPED_MATCHER, threads=1), "rgb")):
            found = play(clip, "affine", 90, moved(shift, degrees), matching, 120.0)
            after = found.error_px[round(BUMP_S * RATE_HZ) :]
            when = (np.flatnonzero(after > after[-1] + 3)[-1:] + 1) / RATE_HZ
            row.append(f"{after[-1]:.1f} ({when[0] if len(when) else 0:.1f} s)")
    for off in (still, drifting):
        for matching in (None, PairMatching(load_matcher(SHIPPED_MATCHER, threads=1), "rgb")):
            found = play(clip, "affine", 90, off, matching, 120.0)
            row.append(f"{found.error_px[40:].max():.2f}")
    print("| " + " | ".join(row) + " |", flush=True)


def report(clip: Clip, frames: int) -> None:
    for model in ("shift", "affine", "homography"):
        correct = play(clip, model, frames, still)
        change = correct.error_px - correct.error_px[0]
        drift = play(clip, model, frames, drifting)
        settled = drift.error_px[frames // 2 :]
        turn = play(clip, model, frames, turned)
        bump = play(clip, model, frames, bumped)
        after = bump.error_px[round(BUMP_S * RATE_HZ) :]
        usual = correct.error_px[-1] + 2.0
        near = np.flatnonzero(after > usual)
        recovered = f"{(near[-1] + 1) / RATE_HZ:4.1f} s" if near[-1] + 1 < len(after) else "never"
        print(
            f"{clip.name:16} {model:10}  {correct.error_px[0]:6.2f} {correct.error_px[-1]:5.2f} "
            f"{change.max():+6.2f}  {settled.mean():6.2f} {settled.max():5.2f}  "
            f"{turn.error_px[0]:6.2f} {turn.error_px[-1]:5.2f}  "
            f"{recovered:>7} {correct.last.confidence:6.2f} {correct.ms:6.2f}",
            flush=True,
        )


def report_warp() -> None:
    """What it costs to warp, and to take over another correction."""
    x, y = np.meshgrid(np.arange(640, dtype=np.float32), np.arange(480, dtype=np.float32))
    remap = Remap(1.02 * x + 3 + np.float32(1e-5) * x * y, 1.03 * y - 2)
    warp = Warp(Calibration((640, 512), SIZE, remap=remap))
    image = np.random.default_rng(0).integers(0, 256, (512, 640), np.uint8)
    warp(image, SIZE)
    costs: dict[str, list[float]] = {"another correction": [], "warp": []}
    for index in range(50):
        begin = time.thread_time()
        warp.set_correction(drifting(0.1 * index))
        middle = time.thread_time()
        warp(image, SIZE)
        costs["another correction"].append(middle - begin)
        costs["warp"].append(time.thread_time() - middle)
    for name, values in costs.items():
        print(f"{name}: {np.median(values) * 1e3:.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=80, help="of each run, at 10 Hz")
    parser.add_argument("--matcher", action="store_true", help="the figures with a matcher")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.matcher:
        print("20 px turned by 2, by 4 degrees, 45 px, turned by 3; harm, drift: each without and with")
        for clip in clips(80, planes=(False,)):
            report_matcher(clip)
    else:
        report_all(options.frames)


def clips(frames: int, planes: tuple[bool, ...]) -> Iterator[Clip]:
    for illumination, seed in (("day", 0), ("night", 1), ("dusk", 2)):
        for plane in planes:
            yield simulated(illumination, seed, plane, frames)
    for name in ("0111_1716", "0113_1714", "0117_1605"):
        try:
            yield recorded(name, frames)
        except ImageError as error:
            print(error)


def report_all(frames: int) -> None:
    print(
        "bumped: seconds until errors are within 2 px of those of a correct calibration again\n"
        "                             correct: before after worst   drift: mean  max   turned: to  bumped"
        "    conf  ms"
    )
    for clip in clips(frames, planes=(False, True)):
        report(clip, frames)
    report_warp()


if __name__ == "__main__":
    main()
