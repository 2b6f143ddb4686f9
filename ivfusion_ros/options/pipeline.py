"""Options of what decides how a pipeline works, and of networks by themselves."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from ivfusion_ros.backends.table import BACKENDS, CHOSEN_HERE, backend_names
from ivfusion_ros.config.pipeline import PipelineConfig

if TYPE_CHECKING:
    import argparse

    from ivfusion_ros.graphs.task import Task

SECTIONS = tuple(item.name for item in dataclasses.fields(PipelineConfig))
"""Of the configuration, one for each part of the pipeline."""


TASKS: tuple[Task, ...] = ("fusion", "detection")
"""Those sections that have a network and its backend."""

_MEASURED = "measured: what is fastest on this CPU, found out once for each model"


def add_pipeline_options(parser: argparse.ArgumentParser, sections: tuple[str, ...] = SECTIONS) -> None:
    """Options that decide what the pipeline does.

    sections: those of PipelineConfig that the command uses; there are no options for others, which a file
    may have all the same.
    """
    parser.set_defaults(sections=sections, model=None, detector=None)
    group = parser.add_argument_group("pipeline")
    group.add_argument("--config", type=Path, metavar="FILE", help="YAML file, plain or of ROS parameters")
    fuses, detects = "fusion" in sections, "detection" in sections
    if fuses:
        group.add_argument("--model", help="fusion model: name in models.yaml or ONNX file")
    if detects:
        none = ", or '' for fusion only" if fuses else ""
        group.add_argument(
            "--detector", metavar="MODEL", help=f"detection model: name in models.yaml or ONNX file{none}"
        )
    _add_pipeline_backend_option(group, [task for task in TASKS if task in sections])
    which = "any parameter" if sections == SECTIONS else f"a parameter of {', '.join(sections)}"
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"{which}, for example thermal.polarity=black_hot; `ivfusion doctor --parameters` lists them",
    )


def _add_pipeline_backend_option(group: argparse._ArgumentGroup, tasks: list[Task]) -> None:
    """Of all backends that run a network of these tasks; what some run alone is said."""
    runs = {name: [task for task in tasks if task in row.tasks] for name, row in BACKENDS.items()}
    alone = (
        f"; {name}: the {parts[0]} network only"
        for name, parts in runs.items()
        if 0 < len(parts) < len(tasks)
    )
    names = (*CHOSEN_HERE, *(name for name, parts in runs.items() if parts))
    group.add_argument(
        "--backend", choices=names, help=f"what runs the networks; {_MEASURED}{''.join(alone)}"
    )


def add_backend_option(parser: argparse.ArgumentParser, *tasks: Task) -> None:
    """What runs the networks of all these tasks, for commands without a pipeline."""
    parser.add_argument(
        "--backend",
        choices=(*CHOSEN_HERE, *backend_names(*tasks)),
        default="auto",
        help=f"what runs the networks; {_MEASURED} (default: %(default)s)",
    )


def add_threads_option(parser: argparse.ArgumentParser) -> None:
    """How many cores the networks take."""
    parser.add_argument(
        "--threads",
        type=int,
        default=0,
        metavar="N",
        help="CPU threads of the networks; 0: all cores, or with measured the fastest number (default: "
        "%(default)s)",
    )


def add_network_options(parser: argparse.ArgumentParser, *tasks: Task) -> None:
    """Backend, precision and threads, for commands without a pipeline."""
    add_backend_option(parser, *tasks)
    parser.add_argument(
        "--precision",
        choices=("auto", "f32"),
        default="auto",
        help="auto: the backend's fastest; f32: reference arithmetic (default: %(default)s)",
    )
    add_threads_option(parser)
