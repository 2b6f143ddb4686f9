"""`ivfusion export`: checkpoint of a fusion network -> ONNX by the fusion-graph contract."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from ivfusion_ros.errors import BackendError, ModelError
from ivfusion_ros.models import file_sha256

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("checkpoint", type=Path, help="last.pt of a run of `ivfusion train`")
    parser.add_argument("output", type=Path, help="ONNX file to write")


def run(options: argparse.Namespace) -> None:
    """Export and verify. Raises IvfusionError."""
    try:
        from ivfusion_ros.export import build_graph, export_fusion
        from ivfusion_ros.training.train import load_checkpoint
    except ImportError as error:
        raise BackendError(
            f"export needs torch ({error}); run: pip install 'ivfusion_ros[train]'"
        ) from error
    if options.output.suffix != ".onnx":
        raise ModelError(f"output is {options.output}, expected a name ending in .onnx")
    network = load_checkpoint(options.checkpoint)["network"]
    export_fusion(build_graph(network, options.checkpoint), network, options.output)
    size_mb = options.output.stat().st_size / 1e6
    log.info("%s: %s, %.1f MB, sha256 %s", options.output, network, size_mb, file_sha256(options.output))
