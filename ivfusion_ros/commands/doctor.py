"""`ivfusion doctor`: what is installed, which backends run, which models are intact."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
from typing import Any

from ivfusion_ros import __version__
from ivfusion_ros.backends import available_backends, load_backend
from ivfusion_ros.commands.options import add_json_option, write_json
from ivfusion_ros.errors import IvfusionError, ModelError
from ivfusion_ros.models import read_models
from ivfusion_ros.parameters import iter_parameters
from ivfusion_ros.ros.config import FusionNodeConfig

PACKAGES = ("numpy", "opencv-python-headless", "opencv-python", "rosbags", "av", "ultralytics")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--parameters", action="store_true", help="print the table of all parameters instead"
    )
    add_json_option(parser)


def run(options: argparse.Namespace) -> None:
    """Print the findings. Raises ModelError when a model is damaged or none can run."""
    if options.parameters:
        print(parameter_table(FusionNodeConfig))
        return
    findings = examine()
    for title, rows in findings.items():
        print(f"{title}:")
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
        "CPU cores": str(os.cpu_count()),
        "ROS": os.environ.get("ROS_DISTRO", "not sourced"),
    }
    packages = {name: version for name in PACKAGES if (version := _version(name)) is not None}
    backends = {
        name: f"runs, version {status.detail}" if status.usable else status.detail
        for name, status in available_backends().items()
    }
    models = {name: _model_finding(name) for name in read_models()}
    return {"machine": machine, "packages": packages, "backends": backends, "models": models}


def parameter_table(config_class: type[Any]) -> str:
    """All parameters of a config class as a Markdown table."""
    lines = ["| parameter | default | range | live | meaning |", "|---|---|---|---|---|"]
    for item in iter_parameters(config_class):
        limits = ", ".join(item.choices)
        if item.minimum is not None or item.maximum is not None:
            low = "" if item.minimum is None else f"{item.minimum:g}"
            high = "" if item.maximum is None else f"{item.maximum:g}"
            limits = f"{low} to {high}" if high else f"at least {low}"
        default = "[]" if item.default == () else repr(item.default)
        live = "yes" if item.live else ""
        lines.append(f"| `{item.name}` | `{default}` | {limits} | {live} | {item.description} |")
    return "\n".join(lines)


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
        backend = load_backend(entry.path)
    except IvfusionError as error:
        return f"does not load: {error}"
    description = backend.description
    backend.close()
    return f"intact, {entry.task}, {entry.path.stat().st_size / 1e6:.1f} MB, loads in {description}"
