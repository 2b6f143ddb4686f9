"""`ivfusion export`: a fusion network, trained or without weights -> ONNX by the fusion-graph contract."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ivfusion_ros.errors import BackendError, ModelError
from ivfusion_ros.models import file_sha256

if TYPE_CHECKING:
    from ivfusion_ros.export import FusionGraph

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "network", help="last.pt of a run of `ivfusion train`, or name of a network without weights: mst"
    )
    parser.add_argument("output", type=Path, help="ONNX file to write")


def run(options: argparse.Namespace) -> None:
    """Export and verify. Raises IvfusionError."""
    try:
        from ivfusion_ros.export import export_fusion
    except ImportError as error:
        raise BackendError(
            f"export needs torch ({error}); run: pip install 'ivfusion_ros[train]'"
        ) from error
    if options.output.suffix != ".onnx":
        raise ModelError(f"output is {options.output}, expected a name ending in .onnx")
    name, graph = _graph(options.network)
    export_fusion(graph, name, options.output)
    size_mb = options.output.stat().st_size / 1e6
    log.info("%s: %s, %.1f MB, sha256 %s", options.output, name, size_mb, file_sha256(options.output))


def _graph(network: str) -> tuple[str, FusionGraph]:
    """Name and fusion graph of a checkpoint, or of a network that has no weights, by its name."""
    from ivfusion_ros.export import build_graph
    from ivfusion_ros.networks import NETWORKS
    from ivfusion_ros.training.train import load_checkpoint

    if network not in NETWORKS:
        if not Path(network).exists():
            raise ModelError(
                f"{network} is no file and no network; expected the last.pt of a run of `ivfusion train`, "
                "or mst, which needs no weights"
            )
        name = load_checkpoint(Path(network))["network"]
        return name, build_graph(name, Path(network))
    graph = build_graph(network)
    if any(True for _ in graph.parameters()):
        raise ModelError(
            f"{network} has weights to be trained; give the last.pt of a run of `ivfusion train` instead"
        )
    return network, graph
