"""`ivfusion calibrate`: a bag or two folders in, a calibration file and a picture of how good it is out.

Or, with --import, calibrations of other tools in.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING

from tqdm import tqdm

from ivfusion_ros.calibrate.boards import parse_board
from ivfusion_ros.calibrate.choices import SHIPPED_MATCHER
from ivfusion_ros.calibrate.matcher import Matcher, load_matcher
from ivfusion_ros.calibrate.outcome import Outcome, calibrate_by_board, calibrate_by_scenes
from ivfusion_ros.calibrate.output import write_outputs
from ivfusion_ros.calibrate.pairs import PairSource, open_pairs
from ivfusion_ros.calibrate.targetless import Fields
from ivfusion_ros.commands.calibrate_import import run_import
from ivfusion_ros.commands.options import source_options, write_json
from ivfusion_ros.commands.skipped import log_skipped
from ivfusion_ros.config.parameters import load_config
from ivfusion_ros.config.pipeline import PipelineConfig
from ivfusion_ros.errors import BackendError, ConfigError, DataError
from ivfusion_ros.geometry.choices import DEFAULT_PLANE_DISTANCE_M
from ivfusion_ros.images.declared import MAX_PIXELS
from ivfusion_ros.report import calibration_page, check_renderer, write_page

if TYPE_CHECKING:
    import argparse

    from ivfusion_ros.calibrate.choices import SceneModel
    from ivfusion_ros.types import CameraName

log = logging.getLogger(__name__)

BOARD_PAIRS = 200
"""Most pairs that are searched for the board; more take long and add little."""
SCENE_PAIRS = 30
_HFOV_DEG = 1.0, 150.0


def run(options: argparse.Namespace) -> None:
    """Calibrate; nothing is written where that fails. Raises IvfusionError."""
    _check(options)
    if options.imported:
        run_import(options)
        return
    if options.html:
        check_renderer()
    board = None if options.board is None else parse_board(options.board)
    config = load_config(PipelineConfig, options.config)
    chosen = source_options(options, log_skipped, MAX_PIXELS, config.thermal.encoding)
    source = open_pairs(options.input, config, chosen)
    matcher = None if board is not None else _matcher(options.matcher)
    offset = _time_offset(source) if options.time_offset else {}
    if board is not None:
        pairs = tqdm(source.pairs(BOARD_PAIRS), unit="pair", desc="looking for the board")
        tell = functools.partial(pairs.set_postfix_str, refresh=False)
        distance_m = options.plane_distance or DEFAULT_PLANE_DISTANCE_M
        models: dict[CameraName, str] = {"thermal": options.thermal_lens, "rgb": options.rgb_lens}
        outcome = calibrate_by_board(board, options.board, pairs, models, distance_m, tell)
    else:
        pairs = tqdm(source.pairs(SCENE_PAIRS), unit="pair", desc="reading scenes")
        model: SceneModel | None = options.model if options.baseline is None else "rig"
        fields = None if options.hfov is None else Fields(*options.hfov)
        outcome = calibrate_by_scenes(pairs, model, options.baseline, fields, matcher)
    _print(outcome)
    picture = write_outputs(options.out, outcome.calibration, offset, outcome.report)
    quality = {**outcome.calibration.quality, **offset}
    write_json(options.json, {**quality, **outcome.findings, "warnings": outcome.warnings})
    if options.html:
        write_page(options.html, calibration_page(options.out.name, outcome))
    page = f", page: {options.html}" if options.html else ""
    log.info("calibration: %s, report: %s%s", options.out, picture, page)


def _matcher(name: str | None) -> Matcher | None:
    """By --matcher. Raises BackendError where one was asked for, and ModelError."""
    if name == "none":
        return None
    try:
        return load_matcher(SHIPPED_MATCHER if name is None else name)
    except BackendError as error:
        if name is not None:
            raise
        log.warning("the scenes are aligned without a matcher: %s", error)
        return None


def _check(options: argparse.Namespace) -> None:
    if options.plane_distance is not None and not 0 < options.plane_distance < float("inf"):
        raise ConfigError(f"--plane-distance is {options.plane_distance}, expected metres above 0")
    if options.baseline is not None and not 0 < options.baseline < float("inf"):
        raise ConfigError(f"--baseline is {options.baseline}, expected metres above 0")
    if options.baseline is not None and (options.board is not None or options.model not in (None, "rig")):
        raise ConfigError("--baseline is for the rig that is found without --board; give only one of them")
    _check_fields(options)
    if options.matcher is not None and (options.board is not None or options.imported):
        raise ConfigError("--matcher is for ordinary scenes; leave it out with --board and --import")
    for name in ("thermal_camera", "rgb_camera", "thermal_size", "rgb_size"):
        if getattr(options, name) is not None and not options.imported:
            raise ConfigError(f"--{name.replace('_', '-')} is for --import; leave it out")
    if bool(options.input) == bool(options.imported):
        raise ConfigError(
            "give either images (a bag, or a folder of thermal and one of RGB images) or --import FILE"
        )
    for path in options.input:
        if path.suffix.lower() in (".yaml", ".yml"):
            raise ConfigError(
                f"{path} holds no images: the calibration to write is named by --out {path}, one of "
                f"another tool to read by --import {path}"
            )
    if options.board is None and options.plane_distance is not None and not options.imported:
        raise ConfigError(
            "--plane-distance needs --board: without one, the calibration holds for the distances of the "
            "scenes"
        )
    if options.board is not None and options.model is not None:
        raise ConfigError("--model is for calibration without --board; give only one of them")


def _check_fields(options: argparse.Namespace) -> None:
    if options.hfov is None:
        return
    low, high = _HFOV_DEG
    if not all(low <= field <= high for field in options.hfov):
        given = " ".join(f"{field:g}" for field in options.hfov)
        raise ConfigError(f"--hfov is {given}, expected {low:g} to {high:g} degrees for each camera")
    if options.board is not None or options.baseline is not None or options.model == "rig":
        raise ConfigError(
            "--hfov is where the search for a homography without --board starts; a rig takes its lenses "
            "from camera_info, so leave --board, --baseline and --model rig out"
        )


def _time_offset(source: PairSource) -> dict[str, float]:
    found = source.time_offset()
    if found.offset_ns is None or found.standard_error_ns is None:
        raise DataError(f"the offset between the clocks cannot be estimated: {found.reason}")
    milliseconds, error_ms = found.offset_ns / 1e6, found.standard_error_ns / 1e6
    log.info(
        "clocks: set pairing.thermal_time_offset_ms to %.1f (standard error %.1f ms, agreement %.2f)",
        milliseconds, error_ms, found.agreement,
    )  # fmt: skip
    return {"thermal_time_offset_ms": round(milliseconds, 2), "time_offset_error_ms": round(error_ms, 2)}


def _print(outcome: Outcome) -> None:
    for line in outcome.lines:
        log.info("%s", line)
    for warning in outcome.warnings:
        log.warning("note: %s", warning)
