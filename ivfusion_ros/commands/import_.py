"""`ivfusion import`: weights that a paper's authors published -> a checkpoint of this package."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ivfusion_ros.errors import BackendError

if TYPE_CHECKING:
    import argparse

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("network", help="name of the network, for example mda")
    parser.add_argument("file", type=Path, help="the authors' checkpoint")
    parser.add_argument("output", type=Path, help="checkpoint to write, for `export` or `train --init`")


def run(options: argparse.Namespace) -> None:
    """Convert and save. Raises IvfusionError."""
    try:
        from ivfusion_ros.networks.checkpoint import save_checkpoint
        from ivfusion_ros.networks.published import read_published
    except ImportError as error:
        raise BackendError(f"import needs torch ({error}); run: pip install torch") from error
    weights = read_published(options.network, options.file)
    save_checkpoint(options.output, {"network": options.network, "weights": weights})
    count = sum(weight.numel() for weight in weights.values())
    log.info("%s: %s, %d parameters", options.output, options.network, count)
