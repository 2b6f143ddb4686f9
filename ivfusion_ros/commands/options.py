"""What several subcommands share: options of the pipeline, and the figures as JSON."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivfusion_ros.backends import BACKENDS, backend_names
from ivfusion_ros.cli import named_path
from ivfusion_ros.commands.skipped import refuse_existing
from ivfusion_ros.config.parameters import assignments, load_config
from ivfusion_ros.config.pipeline import PipelineConfig
from ivfusion_ros.errors import ConfigError, DataError
from ivfusion_ros.files import brief, make_folder, write_whole
from ivfusion_ros.images.pairs import images_by_stem
from ivfusion_ros.sources.source import OnSkip, SourceOptions
from ivfusion_ros.types import CAMERAS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ivfusion_ros.graphs.task import Task
    from ivfusion_ros.types import Size

log = logging.getLogger(__name__)


SECTIONS = tuple(item.name for item in dataclasses.fields(PipelineConfig))
"""Of the configuration, one for each part of the pipeline."""

TASKS: tuple[Task, ...] = ("fusion", "detection")
"""Those sections that have a network and its backend."""


STDOUT = Path("-")
"""For --json."""

SIDES = (8, 8192)
"""Of images that networks are timed and built for, pixels: larger ones take more memory than there is."""


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
    names = ("auto", *(name for name, parts in runs.items() if parts))
    group.add_argument("--backend", choices=names, help=f"what runs the networks{''.join(alone)}")


def add_camera_option(parser: argparse.ArgumentParser) -> None:
    """--camera, of images whose place does not tell it."""
    parser.add_argument(
        "--camera",
        choices=CAMERAS,
        help="what took the images of a data set of one camera whose folders do not tell (default: thermal "
        "where they are grey)",
    )


def add_backend_option(parser: argparse.ArgumentParser, *tasks: Task) -> None:
    """What runs the networks of all these tasks, for commands without a pipeline."""
    parser.add_argument(
        "--backend",
        choices=("auto", *backend_names(*tasks)),
        default="auto",
        help="what runs the networks (default: %(default)s)",
    )


def add_threads_option(parser: argparse.ArgumentParser) -> None:
    """How many cores the networks take."""
    parser.add_argument(
        "--threads",
        type=int,
        default=0,
        metavar="N",
        help="CPU threads of the networks; 0: all cores (default: %(default)s)",
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


def add_folders_option(parser: argparse.ArgumentParser) -> None:
    """What the two folders of a folder of pairs are called."""
    parser.add_argument(
        "--folders",
        nargs=2,
        default=CAMERAS,
        metavar="NAME",
        help="names of the thermal and the RGB folder in there, for example MRI PET (default: "
        f"{' '.join(CAMERAS)})",
    )


def add_topic_options(parser: argparse.ArgumentParser) -> None:
    """Which topics of a bag are the cameras."""
    for camera in CAMERAS:
        parser.add_argument(
            f"--{camera}-topic",
            metavar="TOPIC",
            help=f"{camera} image topic (default: guessed by name and encoding)",
        )


def add_source_options(parser: argparse.ArgumentParser, *, topics: bool = True) -> None:
    """What a user says about a source; topics: bags are among them."""
    if topics:
        add_topic_options(parser)
    parser.add_argument(
        "--rate",
        type=float,
        metavar="HZ",
        help="frame rate of films and folders whose images have no stamps (default: a film's own)",
    )
    parser.add_argument(
        "--stamps",
        default="auto",
        metavar="HOW",
        help="of images in a folder. auto: a text file beside them, or names that are times; names or "
        "names:UNIT (ns, us, ms, s): their names, whatever they look like; rate: --rate (default: "
        "%(default)s)",
    )
    for camera in CAMERAS:
        parser.add_argument(
            f"--{camera}-stamps",
            type=Path,
            metavar="FILE",
            help=f"text file with the {camera} images' stamps: lines of a stamp and a name, or of a stamp",
        )


def source_options(
    options: argparse.Namespace, on_skip: OnSkip, max_pixels: int, thermal_encoding: str = ""
) -> SourceOptions:
    """What add_source_options took, and what the configuration says."""
    return SourceOptions(
        thermal_topic=getattr(options, "thermal_topic", None),
        rgb_topic=getattr(options, "rgb_topic", None),
        rate_hz=options.rate,
        stamps=options.stamps,
        thermal_stamps=options.thermal_stamps,
        rgb_stamps=options.rgb_stamps,
        max_pixels=max_pixels,
        thermal_encoding=thermal_encoding,
        on_skip=on_skip,
    )


def add_html_option(parser: argparse.ArgumentParser) -> None:
    """--html FILE."""
    parser.add_argument(
        "--html",
        type=output_file(".html"),
        metavar="FILE",
        help="also write a page that opens from disk, with pictures and figures (needs jinja2)",
    )


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Where the printed figures go as JSON."""
    parser.add_argument(
        "--json",
        type=_json_file,
        metavar="FILE",
        help="also write all figures as JSON; -: to standard output, and nothing else there",
    )


def _json_file(text: str) -> Path:
    return STDOUT if text == str(STDOUT) else output_file(".json", "")(text)


class OutputFile(type(Path())):  # type: ignore[misc]
    """A file that a command writes beside its result; each is looked at before the work."""


def check_output_files(options: argparse.Namespace) -> None:
    """Raises DataError for a file to write that is, or lies in, what is read, or is there already, unasked.

    options: of any command; its result itself, `output` or `out`, is the command's to check.
    """
    given = {
        name: value if isinstance(value, list) else [value]
        for name, value in vars(options).items()
        if name not in ("output", "out")
    }
    values = [value for several in given.values() for value in several if isinstance(value, Path)]
    written = [path for path in values if isinstance(path, OutputFile) and path.exists()]
    read = [path for path in values if not isinstance(path, OutputFile) and path.exists()]
    for path in written:
        refuse_input(path, *read)
        # No command reads a page; one often lies in the folder that it shows.
        for folder in read if path.suffix.lower() != ".html" else ():
            if folder.is_dir() and path.resolve().is_relative_to(folder.resolve()):
                raise DataError(f"{path} is there already, in {folder}, which is read; name another file")
    refuse_existing(written, getattr(options, "force", True))


def output_file(*suffixes: str) -> Callable[[str], Path]:
    """The argparse type of a file to write with one of the suffixes; its folder is made where missing.

    What cannot be written is found before the work, and a slip of the hand does not name a bag.
    """

    def check(text: str) -> Path:
        path: Path = OutputFile(text)
        if path.suffix.lower() not in suffixes:
            raise argparse.ArgumentTypeError(f"{text} must end in {' or '.join(filter(None, suffixes))}")
        try:
            make_folder(path.parent)
        except OSError as error:
            raise argparse.ArgumentTypeError(f"cannot write {text}: {error.strerror}") from error
        if path.is_dir():
            raise argparse.ArgumentTypeError(f"{text} is a folder, expected a file to write")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise argparse.ArgumentTypeError(f"cannot write {text}")
        return path

    return check


def output_folder(text: str) -> Path:
    """The argparse type of a folder to write: a file in its place is found before the work."""
    path = named_path(text)
    if (path.exists() or path.is_symlink()) and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a file, expected a folder")
    return path


def pipeline_config(options: argparse.Namespace) -> PipelineConfig:
    """The configuration that file and options give. Raises ConfigError."""
    named = {
        "fusion.model": options.model,
        "detection.model": options.detector,
        # What the backend does not run is left to the file's, or to auto.
        **{
            f"{task}.backend": options.backend
            for task in TASKS
            if options.backend in ("auto", *backend_names(task))
        },
    }
    overrides: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    for name, value in assignments(options.set, "--set").items():
        section = name.partition(".")[0]
        if section in SECTIONS and section not in options.sections:
            used = ", ".join(options.sections)
            raise ConfigError(
                f"--set {name} does nothing in `ivfusion {options.command}`, which uses {used}"
            )
        overrides[name] = value
    return load_config(PipelineConfig, options.config, overrides)


def check_at_least(options: argparse.Namespace, **minima: int) -> None:
    """Raises ConfigError for an option that was given and is below its minimum."""
    for name, minimum in minima.items():
        value = getattr(options, name)
        if value is not None and value < minimum:
            raise ConfigError(f"--{name} is {value}, expected at least {minimum}")


def refuse_input(output: Path, *inputs: Path) -> None:
    """Raises DataError where the output is an input, whatever its name."""
    for path in inputs:
        if output.exists() and path.exists() and output.samefile(path):
            raise DataError(f"the output, {output}, is an input too; give another one")


def refuse_source_as_output(sources: Sequence[Path], output: Path) -> None:
    """Raises DataError where a second folder of images was taken for the output, which is not named."""
    if len(sources) == 1 and images_by_stem(sources[0]) and images_by_stem(output):
        raise DataError(
            f"{sources[0]} and {output} both hold images, and the last name is the output; give it after "
            "them"
        )


def parse_size(text: str) -> Size:
    """(width, height) of WIDTHxHEIGHT, both within SIDES. Raises ConfigError."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text, re.ASCII)
    if match is None or not all(SIDES[0] <= int(side) <= SIDES[1] for side in match.groups()):
        raise ConfigError(
            f"--size is {brief(text)}, expected WIDTHxHEIGHT of at least 8x8, for example 640x480, and at "
            f"most {SIDES[1]}x{SIDES[1]}"
        )
    return int(match[1]), int(match[2])


def write_json(path: Path | None, figures: dict[str, Any]) -> None:
    """Write figures as JSON where a path was asked for."""
    if path == STDOUT:
        # What else is printed goes to standard error meanwhile, see cli.py.
        print(json.dumps(figures, indent=2), file=getattr(sys.stdout, "behind", sys.stdout))
    elif path is not None:
        write_whole(path, json.dumps(figures, indent=2) + "\n")
        log.info("figures: %s", path)
