"""`ivfusion demo`: simulate a bag, replay it, and leave pictures of the result."""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ivfusion_ros.bags import BagWriter
from ivfusion_ros.commands.options import add_pipeline_options, pipeline_config, write_json
from ivfusion_ros.commands.replay import Outputs, replay_bags
from ivfusion_ros.config import PipelineConfig, RegistrationConfig
from ivfusion_ros.simulate import RigConfig, SceneConfig, Simulator

log = logging.getLogger(__name__)

MAIN_DEPTH_M = 15.0
"""Distance of the plane at which the demo's static calibration is exact."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="folder to write")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the scene")
    parser.add_argument("--seed", type=int, default=0, help="of the scene")
    add_pipeline_options(parser)


def run(options: argparse.Namespace) -> None:
    """Make everything. Raises IvfusionError."""
