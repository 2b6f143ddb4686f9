"""Options of `ivfusion doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ivfusion_ros.config.node import FusionNodeConfig
from ivfusion_ros.options.outputs import add_json_option
from ivfusion_ros.training.detector.config import DetectorConfig
from ivfusion_ros.training.fusion.config import TrainConfig

if TYPE_CHECKING:
    import argparse

PARAMETERS_OF: dict[str, type[Any]] = {
    "node": FusionNodeConfig,
    "fusion_training": TrainConfig,
    "detector_training": DetectorConfig,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--parameters",
        nargs="?",
        const="node",
        choices=tuple(PARAMETERS_OF),
        help="print the table of all parameters instead, of the pipeline and its node or of a training "
        "(default: node)",
    )
    add_json_option(parser)
