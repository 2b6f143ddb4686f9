"""What several subcommands share: options of the pipeline, and the figures as JSON."""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import TYPE_CHECKING, Any

from ivfusion_ros.backends.table import backend_names
from ivfusion_ros.config.parameters import assignments, load_config
from ivfusion_ros.config.pipeline import PipelineConfig
from ivfusion_ros.errors import ConfigError, DataError
from ivfusion_ros.files import brief, write_whole
from ivfusion_ros.images.pairs import images_by_stem
from ivfusion_ros.models import resolve_model
from ivfusion_ros.options.outputs import STDOUT
from ivfusion_ros.options.pipeline import SECTIONS, TASKS
from ivfusion_ros.sources.source import OnSkip, SourceOptions

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from ivfusion_ros.models import ModelTask
    from ivfusion_ros.types import Size

log = logging.getLogger(__name__)


SIDES = (8, 8192)
"""Of images that networks are timed and built for, pixels: larger ones take more memory than there is."""


def source_options(
    options: argparse.Namespace, on_skip: OnSkip, max_pixels: int, thermal_encoding: str = ""
) -> SourceOptions:
    """What add_source_options took, and what the configuration says."""
    return SourceOptions(
        thermal_topic=getattr(options, "thermal_topic", None),
        rgb_topic=getattr(options, "rgb_topic", None),
        rate_hz=options.rate,
        stamps=options.stamps,
        thermal_stamps=options.thermal_stamps,
        rgb_stamps=options.rgb_stamps,
        max_pixels=max_pixels,
        thermal_encoding=thermal_encoding,
        on_skip=on_skip,
    )


def pipeline_config(options: argparse.Namespace) -> PipelineConfig:
    """The configuration that file and options give. Raises ConfigError, ModelError."""
    named = {
        "fusion.model": options.model,
        "detection.model": options.detector,
        # What the backend does not run is left to the file's, or to auto.
        **{
            f"{task}.backend": options.backend
            for task in TASKS
            if options.backend in ("auto", *backend_names(task))
        },
    }
    overrides: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    for name, value in assignments(options.set, "--set").items():
        section = name.partition(".")[0]
        if section in SECTIONS and section not in options.sections:
            used = ", ".join(options.sections)
            raise ConfigError(
                f"--set {name} does nothing in `ivfusion {options.command}`, which uses {used}"
            )
        overrides[name] = value
    config = load_config(PipelineConfig, options.config, overrides)
    _check_models(config, options.sections)
    return config


def _check_models(config: PipelineConfig, sections: Sequence[str]) -> None:
    """Before anything is opened or loaded. Raises ModelError for what is not there, or for another task."""
    named: tuple[tuple[str, ModelTask, str], ...] = (
        ("fusion", "fusion", config.fusion.model),
        ("detection", "detection", config.detection.model),
        ("registration", "matching", config.registration.refine.matcher),
    )
    for section, task, name in named:
        if section in sections and name not in ("", "auto"):
            resolve_model(name, task)


def check_at_least(options: argparse.Namespace, **minima: int) -> None:
    """Raises ConfigError for an option that was given and is below its minimum."""
    for name, minimum in minima.items():
        value = getattr(options, name)
        if value is not None and value < minimum:
            raise ConfigError(f"--{name} is {value}, expected at least {minimum}")


def refuse_source_as_output(sources: Sequence[Path], output: Path) -> None:
    """Raises DataError where a second folder of images was taken for the output, which is not named."""
    if len(sources) == 1 and images_by_stem(sources[0]) and images_by_stem(output):
        raise DataError(
            f"{sources[0]} and {output} both hold images, and the last name is the output; give it after "
            "them"
        )


def parse_size(text: str) -> Size:
    """(width, height) of WIDTHxHEIGHT, both within SIDES. Raises ConfigError."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text, re.ASCII)
    if match is None or not all(SIDES[0] <= int(side) <= SIDES[1] for side in match.groups()):
        raise ConfigError(
            f"--size is {brief(text)}, expected WIDTHxHEIGHT of at least 8x8, for example 640x480, and at "
            f"most {SIDES[1]}x{SIDES[1]}"
        )
    return int(match[1]), int(match[2])


def write_json(path: Path | None, figures: dict[str, Any]) -> None:
    """Write figures as JSON where a path was asked for."""
    if path == STDOUT:
        # What else is printed goes to standard error meanwhile, see cli.py.
        print(json.dumps(figures, indent=2), file=getattr(sys.stdout, "behind", sys.stdout))
    elif path is not None:
        write_whole(path, json.dumps(figures, indent=2) + "\n")
        log.info("figures: %s", path)
