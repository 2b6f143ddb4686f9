"""`ivfusion demo`: simulate a bag, replay it, and leave pictures of the result."""

from __future__ import annotations

import importlib.util
import json
import logging
import platform
import shlex
import time
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from ivfusion_ros.bags import BagWriter
from ivfusion_ros.commands.options import pipeline_config, write_json
from ivfusion_ros.commands.replay import Outputs, end_if_interrupted, replay_source
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.files import alone_in, make_folder
from ivfusion_ros.geometry.calibration import Calibration, Remap, write_calibration
from ivfusion_ros.pipeline.build import model_files
from ivfusion_ros.simulate import RigConfig, SceneConfig, Simulator

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

log = logging.getLogger(__name__)

SETTINGS = (
    "thermal.scaling=radiometric",
    "thermal.range_min=275",
    "thermal.range_max=302",
    "tracking.tracker=bytetrack",
)
"""Unless --config says otherwise: the simulated camera is radiometric, so objects have temperatures. The
range (kelvin) spans a street at night, from the sky to a face."""

MIN_SECONDS = 0.5
"""Scenes of that length have some pairs."""

MAIN_DEPTH_M = 15.0
"""Distance at which the demo's static registration is exact."""


def run(options: argparse.Namespace) -> None:
    """Simulate, replay, and leave bags, pictures and figures. Raises IvfusionError."""
    with alone_in(options.out):
        _show(options)


def _show(options: argparse.Namespace) -> None:
    if not options.seconds >= MIN_SECONDS:
        raise ConfigError(f"--seconds is {options.seconds:g}, expected at least {MIN_SECONDS:g}")
    folder: Path = options.out
    bag, calibration = folder / "cameras.mcap", folder / "calibration.yaml"
    scene, rig = SceneConfig(seed=options.seed, duration_s=options.seconds), RigConfig()
    options.set = [*_settings(options, rig, calibration), *options.set]
    config = pipeline_config(options)
    # A mistyped name is reported before the simulation, and before an earlier demo is replaced.
    model_files(config)
    log.info(
        "writes about %.0f MB to %s; --seconds makes it less. Nothing is downloaded",
        _megabytes(scene, rig), folder,
    )  # fmt: skip
    if bag.exists():
        log.info("replacing the demo in %s", folder)
    make_folder(folder)
    simulator = Simulator(scene, rig)
    seconds = _record(simulator, bag)
    write_calibration(calibration, true_calibration(simulator))
    outputs = Outputs(
        folder / "fused.mcap",
        overwrite=True,
        video=folder / "fused.mp4",
        sheet=folder / "contact_sheet.png",
        html=folder / "report.html" if importlib.util.find_spec("jinja2") else None,
    )
    log.info("the replay that follows, as a command: %s", _replay_command(bag, outputs.bag, options))
    figures = replay_source([bag], outputs, config)
    write_json(
        folder / "summary.json",
        {"machine": platform.platform(), "simulation_seconds": round(seconds, 2), **figures},
    )
    end_if_interrupted(figures)
    log.info("look at %s and %s", outputs.html or outputs.sheet, outputs.video)


def _megabytes(scene: SceneConfig, rig: RigConfig) -> float:
    """Of both bags, whose images are raw; film and page are a few more."""
    thermal, rgb = rig.thermal, rig.rgb
    fused = 3 * rgb.width * rgb.height * min(thermal.rate_hz, rgb.rate_hz)
    cameras = (
        2 * thermal.width * thermal.height * thermal.rate_hz + 3 * rgb.width * rgb.height * rgb.rate_hz
    )
    return scene.duration_s * (fused + cameras) / 1e6


def _settings(options: argparse.Namespace, rig: RigConfig, calibration: Path) -> list[str]:
    """The rig', and what shows most."""
    settings = [
        f"registration.calibration={json.dumps(str(calibration))}",
        f"pairing.thermal_time_offset_ms={-rig.thermal.clock_offset_ms}",
    ]
    if options.config is None:
        settings += SETTINGS
    return settings


def _replay_command(bag: Path, output: Path, options: argparse.Namespace) -> str:
    words = ["ivfusion", "replay", str(bag), str(output), "--force"]
    for name in ("config", "model", "detector", "backend"):
        if (value := getattr(options, name)) is not None:
            words += [f"--{name}", str(value)]
    for setting in options.set:
        words += ["--set", setting]
    return shlex.join(words)


def _record(simulator: Simulator, path: Path) -> float:
    """Write the scene as a bag; returns the seconds it took."""
    start = time.perf_counter()
    scene, rig = simulator.scene, simulator.rig
    log.info(
        "simulating %g s of a street at %s: thermal %dx%d mono16 at %g Hz, RGB %dx%d at %g Hz -> %s",
        scene.duration_s, scene.illumination, rig.thermal.width, rig.thermal.height, rig.thermal.rate_hz,
        rig.rgb.width, rig.rgb.height, rig.rgb.rate_hz, path,
    )  # fmt: skip
    total = round(scene.duration_s * (rig.thermal.rate_hz + rig.rgb.rate_hz))
    with BagWriter(path, overwrite=True) as writer:
        for camera, frame in tqdm(simulator.frames(), total=total, unit="frame"):
            writer.write_frame(camera, frame)
    return time.perf_counter() - start


def true_calibration(simulator: Simulator) -> Calibration:
    """The rig's true registration for a plane at MAIN_DEPTH_M."""
    thermal, rgb = simulator.rig.thermal, simulator.rig.rgb
    map_x, map_y = simulator.static_map(MAIN_DEPTH_M)
    outside = ~(np.isfinite(map_x) & np.isfinite(map_y))
    remap = Remap(
        np.where(outside, -1, map_x).astype(np.float32), np.where(outside, -1, map_y).astype(np.float32)
    )
    return Calibration((thermal.width, thermal.height), (rgb.width, rgb.height), remap=remap)
