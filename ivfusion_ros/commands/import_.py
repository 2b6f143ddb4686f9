"""`ivfusion import`: weights that a paper's authors published -> a checkpoint of this package."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ivfusion_ros.errors import BackendError, no_folder
from ivfusion_ros.images.pairs import spread
from ivfusion_ros.sources.layouts import find_pairs

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from ivfusion_ros.images.pairs import PairPaths

log = logging.getLogger(__name__)

PAIRS = 24
"""Pairs of each folder that are looked at: seconds each, and more hardly move the range."""


def run(options: argparse.Namespace) -> None:
    """Convert, stretch and save. Raises IvfusionError."""
    try:
        from ivfusion_ros.networks.checkpoint import save_checkpoint
        from ivfusion_ros.networks.published import import_published
        from ivfusion_ros.training.fusion.data import read_luminance
        from ivfusion_ros.training.fusion.provenance import file_identity
    except ImportError as error:
        raise BackendError(f"import needs torch ({error}); run: pip install torch") from error
    if not options.output.parent.is_dir():
        raise no_folder(options.output.parent, f"to write {options.output.name} in")
    pairs = list(_chosen(options))
    planes = (read_luminance(pair) for pair in pairs)
    network, (low, high) = import_published(options.network, options.file, planes if pairs else None)
    state = {
        "network": options.network,
        "weights": network.state_dict(),
        "provenance": {"init": file_identity(options.file), "range": [low, high]},
    }
    save_checkpoint(options.output, state)
    count = sum(weight.numel() for weight in network.parameters())
    log.info("%s: %s, %d parameters", options.output, options.network, count)
    source = f"{len(pairs)} pairs" if pairs else "road scenes; your own pairs: --data"
    log.info("%.3f to %.3f of its images is now black to white, as measured on %s", low, high, source)


def _chosen(options: argparse.Namespace) -> Iterator[PairPaths]:
    for folder in options.data:
        yield from spread(find_pairs(folder, tuple(options.folders)), PAIRS)
