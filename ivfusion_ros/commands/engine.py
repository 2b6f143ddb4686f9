"""`ivfusion engine`: ONNX models -> engines of TensorRT in the cache, from which the node takes them."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING

from ivfusion_ros.commands.options import parse_size, write_json
from ivfusion_ros.errors import BackendError, ConfigError
from ivfusion_ros.files import write_whole
from ivfusion_ros.models import resolve_model
from ivfusion_ros.options.pipeline import TASKS

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from ivfusion_ros.backends.tensorrt.make import EngineBuilder
    from ivfusion_ros.types import Size

log = logging.getLogger(__name__)


def run(options: argparse.Namespace) -> None:
    """Build what is missing, and say what is there; or write graphs alone. Raises IvfusionError."""
    if options.workspace < 0:
        raise ConfigError(f"--workspace is {options.workspace}, expected MiB, or 0 for any")
    sizes = [parse_size(text) for text in options.size]
    models = [resolve_model(name, *TASKS) for name in options.models]
    if options.graphs is not None:
        _write_graphs(options, models, sizes)
        return
    builder = _builder(options.cache, options.workspace)
    if not options.half:
        log.info(
            "building in f32, which is used where fusion.precision (or detection.precision) is f32; --half "
            "builds what auto, the default, uses"
        )
    rows = {}
    for path in models:
        for size in sizes:
            engine = builder.engine(path, size, half=options.half, rebuild=options.rebuild)
            rows[engine.path.name] = dataclasses.asdict(engine.record)
            record = engine.record
            text = f"{record.runs_in}, {record.plan_bytes / 1e6:.1f} MB, built in {record.build_seconds} s"
            print(f"{engine.path}: {text}; self-test: {record.check}")
            if record.fallback:
                print(f"  not in f16: {record.fallback}")
    write_json(options.json, rows)


def _write_graphs(options: argparse.Namespace, models: list[Path], sizes: list[Size]) -> None:
    from ivfusion_ros.graphs.byte_input import engine_graph
    from ivfusion_ros.graphs.half import to_half
    from ivfusion_ros.graphs.onnx_file import PRECISION_KEY, read_metadata, read_model

    if options.json or options.cache or options.rebuild or options.workspace:
        raise ConfigError("--graphs builds no engine: leave out --json, --cache, --rebuild and --workspace")
    options.graphs.mkdir(parents=True, exist_ok=True)
    for path in models:
        model, precision = read_model(path), read_metadata(path).get(PRECISION_KEY, "f32")
        if options.half and precision == "f32":
            model, precision = to_half(model), "f16"
        for size in sizes:
            target = options.graphs / f"{path.stem}-{size[0]}x{size[1]}-{precision}.onnx"
            write_whole(target, engine_graph(model, size).SerializeToString())
            print(target)


def _builder(folder: Path | None, workspace_mib: int) -> EngineBuilder:
    from ivfusion_ros.backends.cuda import Gpu, find_gpu
    from ivfusion_ros.backends.tensorrt.library import load_library

    try:
        from ivfusion_ros.backends.tensorrt.make import EngineBuilder
    except ImportError as error:
        raise BackendError(f"engines need onnx ({error}); run: pip install onnx") from error
    library = load_library()
    gpu: Gpu | None = None
    try:
        gpu = find_gpu()
    except BackendError as error:
        if not library.is_rtx:
            raise
        log.warning("%s: engines are built as a check only and cannot run", error)
    return EngineBuilder.here(library, gpu, folder, workspace_mib)
