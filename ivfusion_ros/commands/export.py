"""`ivfusion export`: a fusion network, trained or without weights, or a detector -> ONNX, also in int8."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ivfusion_ros.commands.options import parse_size
from ivfusion_ros.errors import BackendError, ConfigError, ModelError
from ivfusion_ros.models import file_sha256, read_models, resolve_model
from ivfusion_ros.options.export import DETECTOR_SIZE

if TYPE_CHECKING:
    import argparse

    from ivfusion_ros.networks.graph import FusionGraph

log = logging.getLogger(__name__)


def run(options: argparse.Namespace) -> None:
    """Export and verify. Raises IvfusionError."""
    if options.output.suffix != ".onnx":
        raise ModelError(f"output is {options.output}, expected a name ending in .onnx")
    if not options.output.parent.is_dir():
        raise ModelError(f"output is {options.output}, but there is no folder {options.output.parent}")
    if (options.images is not None) != options.int8:
        raise ConfigError("--int8 and --images go together: --int8 --images DIR calibrates on DIR's images")
    if options.size and not options.detector:
        raise ConfigError(
            "--size is for --detector (a .pt, or the name or ONNX file of one with anchors, as yolov5n); a "
            "fusion network takes images of any size"
        )
    if options.int8:
        what = _quantise(options)
    else:
        what = _export_detector(options) if options.detector else _export_fusion(options)
    if options.half:
        _halve(options.output)
    size_mb = options.output.stat().st_size / 1e6
    log.info("%s: %s, %.1f MB, sha256 %s", options.output, what, size_mb, file_sha256(options.output))


def _halve(path: Path) -> None:
    from ivfusion_ros.backends.self_test import halve_file

    outcome = halve_file(path)
    if outcome.passed:
        log.info("half precision: %s", outcome.text)
    else:
        log.warning("%s stays in f32, half precision failed its self-test: %s", path, outcome.text)


def _quantise(options: argparse.Namespace) -> str:
    if options.detector:
        raise ConfigError(
            "--int8 reads ONNX: export with --detector first, then convert that file with --int8"
        )
    try:
        from ivfusion_ros.export.quantise import quantise_file
    except ImportError as error:
        raise BackendError(f"--int8 needs onnx ({error}); run: pip install onnx") from error
    outcome = quantise_file(
        resolve_model(options.network, "detection", "fusion"), options.output, options.images
    )
    return f"in int8, compared with f32: {outcome.text}"


def _export_detector(options: argparse.Namespace) -> str:
    from ivfusion_ros.export.detector import export_detector

    size = parse_size(options.size or DETECTOR_SIZE)
    weights = Path(options.network)
    if not weights.suffix:
        weights = resolve_model(options.network, "detection")
    names = export_detector(weights, options.output, size)
    return f"detector of {', '.join(names)}"


def _export_fusion(options: argparse.Namespace) -> str:
    try:
        from ivfusion_ros.export.fusion import export_fusion
    except ImportError as error:
        raise BackendError(
            f"export needs torch, onnx and onnxscript ({error}); run: pip install torch onnx onnxscript"
        ) from error
    name, graph = _graph(options.network, options.output)
    export_fusion(graph, name, options.output)
    return name


def _graph(network: str, output: Path) -> tuple[str, FusionGraph]:
    """Name and fusion graph of a checkpoint, or of a network that has no weights, by its name.

    output: for advice.
    """
    from ivfusion_ros.export.detector import is_detector
    from ivfusion_ros.networks import ALL_NETWORKS
    from ivfusion_ros.networks.checkpoint import load_checkpoint
    from ivfusion_ros.networks.graph import build_graph

    if network not in ALL_NETWORKS:
        shipped, is_file = read_models().get(network), Path(network).is_file()
        if is_detector(Path(network)) if is_file else shipped and shipped.task == "detection":
            raise ModelError(
                f"{network} is a detector: export it with --detector, "
                f"`ivfusion export --detector {network} {output}`"
            )
        if not is_file:
            raise ModelError(
                f"{network} is neither a file nor a network; expected the last.pt of a run of "
                "`ivfusion train`, or mst, which needs no weights"
            )
        name = load_checkpoint(Path(network))["network"]
        return name, build_graph(name, Path(network))
    graph = build_graph(network)
    if any(True for _ in graph.parameters()):
        raise ModelError(
            f"{network} has weights to be trained; give the last.pt of a run of `ivfusion train` instead"
        )
    return network, graph
