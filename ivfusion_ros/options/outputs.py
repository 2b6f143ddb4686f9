"""Options of what is written, and what is refused before the work."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ivfusion_ros.cli import named_path
from ivfusion_ros.errors import DataError
from ivfusion_ros.files import make_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STDOUT = Path("-")
"""For --json."""


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


def refuse_input(output: Path, *inputs: Path) -> None:
    """Raises DataError where the output is an input, whatever its name."""
    for path in inputs:
        if output.exists() and path.exists() and output.samefile(path):
            raise DataError(f"the output, {output}, is an input too; give another one")


_NAMED = 3
"""Most existing outputs that an error names."""


def refuse_existing(outputs: Sequence[Path], force: bool) -> None:
    """Raise DataError for outputs that are there already, unless they are to be replaced."""
    there = [] if force else [path for path in outputs if path.is_file()]
    if there:
        names = ", ".join(map(str, there[:_NAMED])) + (", ..." if len(there) > _NAMED else "")
        raise DataError(
            f"{len(there)} of the outputs exist already ({names}); name another output or overwrite them "
            "(--force)"
        )
