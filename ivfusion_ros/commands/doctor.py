"""`ivfusion doctor`: what is installed, which backends run, which models and engines are intact."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ivfusion_ros import __version__
from ivfusion_ros.backends.choice import (
    available_backends,
    is_int8,
    load_backend,
    measured_among,
    resolve_backend,
)
from ivfusion_ros.backends.cuda import Gpu, find_gpu
from ivfusion_ros.backends.kept_folder import differences
from ivfusion_ros.backends.measurements import MEASUREMENTS, key_here, read_measurements
from ivfusion_ros.backends.table import BACKENDS
from ivfusion_ros.backends.tensorrt.cache import FOLDER_VARIABLE, engine_folder, fitness, read_records
from ivfusion_ros.backends.tensorrt.library import Library, installation, load_library
from ivfusion_ros.commands.options import write_json
from ivfusion_ros.config.parameters import iter_parameters
from ivfusion_ros.errors import BackendError, ConfigError, IvfusionError, ModelError
from ivfusion_ros.evaluation.speed.clocks import read_clocks
from ivfusion_ros.evaluation.speed.scheduling import read_scheduling
from ivfusion_ros.models import read_models
from ivfusion_ros.options.doctor import PARAMETERS_OF
from ivfusion_ros.ros import describe_buffers

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from ivfusion_ros.backends.backend import BackendStatus

T = TypeVar("T")

_DRIVER_FILES = (Path("/proc/driver/nvidia/version"), Path("/etc/nv_tegra_release"))
"""First lines that name the driver, of a desktop and of a Jetson."""

PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "opencv-python",
    "rosbags",
    "av",
    "simplejpeg",
    "ultralytics",
)


def run(options: argparse.Namespace) -> None:
    """Print the findings. Raises ModelError when a model is damaged or none can run."""
    if options.parameters:
        if options.json:
            raise ConfigError(
                "--json writes the findings, which --parameters leaves out; give only one of them"
            )
        print(parameter_table(PARAMETERS_OF[options.parameters]))
        return
    # Loading a model logs what it runs in, which is among the findings.
    logging.disable(logging.INFO)
    try:
        findings = examine()
    finally:
        logging.disable(logging.NOTSET)
    for title, rows in findings.items():
        print(f"{title}:" if rows else f"{title}: none found")
        for name, finding in rows.items():
            print(f"  {name:24} {finding}")
    write_json(options.json, findings)
    bad = [name for name, finding in findings["models"].items() if not finding.startswith("intact")]
    if bad:
        raise ModelError(f"not usable: {', '.join(bad)}; reinstall the package, or restore models/")


def examine() -> dict[str, dict[str, str]]:
    """Findings by section and name."""
    machine = {
        "ivfusion_ros": __version__,
        "Python": platform.python_version(),
        "platform": platform.platform(),
        "ROS": os.environ.get("ROS_DISTRO", "not sourced"),
        "ROS image buffers": describe_buffers(),
    }
    packages = {name: version for name in PACKAGES if (version := _version(name)) is not None}
    status = available_backends()
    backends = {name: _backend_finding(one) for name, one in status.items()}
    models = {name: _model_finding(name) for name in read_models()}
    gpu, engines = _gpu_findings()
    gpu["recommended"] = recommend(status)
    return {
        "machine": machine,
        "packages": packages,
        "gpu": gpu,
        "clocks": read_clocks(),
        "scheduling": read_scheduling(),
        "backends": backends,
        "models": models,
        "measured": _measured_findings(status),
        "engines": engines,
    }


def recommend(status: dict[str, BackendStatus]) -> str:
    """The backend to take on this machine, and why; what to install where its GPU lies idle."""
    gpu = _found(find_gpu)
    if isinstance(gpu, BackendError):
        found = _found(resolve_backend)
        if isinstance(found, BackendError):
            return str(found)
        several = " or ".join(measured_among())
        return f"{several or found}, as auto {'measures for each model' if several else 'does'}: {gpu}"
    on_gpu = [name for name, row in BACKENDS.items() if "cpu" not in row.devices]
    usable = next((name for name in on_gpu if status[name].usable), None)
    first = on_gpu[0]
    if usable is None:
        return f"to use the {gpu.name}: {installation()}; else: {BACKENDS[on_gpu[1]].install}"
    if usable == first:
        return f"{usable}, as auto does"
    return f"fusion.backend and detection.backend {usable}, as {first} cannot run: {status[first].detail}"


def _gpu_findings() -> tuple[dict[str, str], dict[str, str]]:
    """What engines need, and the engines that are kept."""
    gpu: Gpu | BackendError = _found(find_gpu)
    library: Library | BackendError = _found(load_library)
    machine = {
        "GPU": str(gpu) if isinstance(gpu, BackendError) else _describe(gpu),
        "driver": _driver(),
        "TensorRT": str(library) if isinstance(library, BackendError) else library.title,
    }
    folder = engine_folder()
    engines = {"folder": f"{folder} ({FOLDER_VARIABLE} names another one)"}
    for path, record in read_records(folder).items():
        if isinstance(library, BackendError):
            engines[path.name] = "cannot run: there is no TensorRT"
            continue
        capability = "none" if isinstance(gpu, BackendError) else "{}.{}".format(*gpu.capability)
        name = "none" if isinstance(gpu, BackendError) else gpu.name
        misfit = fitness(record, library.flavour, library.version, name, capability)
        if isinstance(record, str) or misfit:
            engines[path.name] = f"will be rebuilt when it is needed: {misfit}"
        elif isinstance(gpu, BackendError):
            engines[path.name] = "cannot run: there is no GPU"
        else:
            engines[path.name] = f"fits, {record.runs_in}, {record.plan_bytes / 1e6:.1f} MB, {record.check}"
    return machine, engines


def _measured_findings(status: dict[str, BackendStatus]) -> dict[str, str]:
    """What is remembered of the models that ship, and whether it still holds."""
    models = {entry.sha256: entry.name for entry in read_models().values()}
    findings = {"folder": f"{MEASUREMENTS.path()} ({MEASUREMENTS.variable} names another one)"}
    versions = {name: status[name].detail for name in measured_among("measured")}
    for found in read_measurements():
        if found.key.model_sha256 in models:
            here = key_here(found.key.model_sha256, versions, found.key.precision, found.key.threads)
            asked = f", {found.key.precision}" if found.key.precision != "auto" else ""
            asked += f", threads {found.key.threads}" if found.key.threads else ""
            misfit = differences(found.key, here)
            findings[models[found.key.model_sha256] + asked] = (
                f"measured again when it is needed: {misfit}"
                if misfit
                else f"{found.choice}, of {found.figures}"
            )
    return findings


def _found(find: Callable[[], T]) -> T | BackendError:
    try:
        return find()
    except BackendError as error:
        return error


def _describe(gpu: Gpu) -> str:
    capability, cuda = ("{}.{}".format(*pair) for pair in (gpu.capability, gpu.driver_cuda))
    memory_gb = gpu.memory_bytes / 1e9
    return f"{gpu.name}, compute capability {capability}, {memory_gb:.0f} GB, driver runs CUDA up to {cuda}"


def _driver() -> str:
    for path in _DRIVER_FILES:
        if path.is_file():
            return path.read_text(encoding="utf-8", errors="replace").splitlines()[0].strip("# ")
    return "none found"


def parameter_table(config_class: type[Any]) -> str:
    """All parameters of a config class as a Markdown table; with a column `live` where some are."""
    items = list(iter_parameters(config_class))
    some_live = any(item.live for item in items)
    lines = ["| parameter | default | range | live | meaning |", "|---|---|---|---|---|"]
    if not some_live:
        lines = ["| parameter | default | range | meaning |", "|---|---|---|---|"]
    for item in items:
        limits = ", ".join(item.choices)
        if item.minimum is not None or item.maximum is not None:
            low = "" if item.minimum is None else f"{item.minimum:g}"
            high = "" if item.maximum is None else f"{item.maximum:g}"
            limits = f"{low} to {high}" if high else f"at least {low}"
        default = "[]" if item.default == () else repr(item.default)
        live = f" {'yes' if item.live else ''} |" if some_live else ""
        lines.append(f"| `{item.name}` | `{default}` | {limits} |{live} {item.description} |")
    return "\n".join(lines)


def _backend_finding(status: BackendStatus) -> str:
    if not status.usable:
        return status.detail
    return f"runs, version {status.detail}" if status.detail else "runs"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _model_finding(name: str) -> str:
    entry = read_models()[name]
    if not entry.present:
        return f"missing: {entry.path}"
    if not entry.intact:
        return f"damaged: {entry.path} does not have the sha256 of models.yaml"
    try:
        # What a matcher gives has another length each time, which only ONNX Runtime takes everywhere.
        # By name, so that nothing is measured.
        chosen = "onnxruntime" if entry.task == "matching" else resolve_backend(int8=is_int8(entry.path))
        backend = load_backend(entry.path, chosen)
    except IvfusionError as error:
        return f"does not load: {error}"
    description = backend.description
    backend.close()
    return f"intact, {entry.task}, {entry.path.stat().st_size / 1e6:.1f} MB, loads in {description}"
