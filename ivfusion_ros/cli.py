"""The `ivfusion` command: a subcommand declares its options in options/ and does its work in commands/."""

from __future__ import annotations

import argparse
import difflib
import errno
import importlib
import io
import keyword
import logging
import os
import re
import signal
import sys
import threading
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from ivfusion_ros import __version__
from ivfusion_ros.errors import INTERRUPTED, IvfusionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

COMMANDS = {
    "demo": "simulate a bag, replay it, and draw pictures and a film of the result",
    "replay": "fuse a recorded bag into a new bag",
    "fleet": "fuse many recordings, on many machines",
    "find": "search the recordings that a fleet fused, and cut out the seconds that are found",
    "mine": "take moments that are worth a label from what a fleet fused, as a data set",
    "live": "fuse two cameras as they send, and record",
    "fuse": "fuse image files, folders or recordings into images",
    "detect": "detect objects in image files, a folder or a film",
    "record": "make a bag from films, folders, a data set or bags",
    "calibrate": "align a thermal and an RGB camera, with a board or ordinary scenes",
    "dataset": "write images with boxes, to train and evaluate detectors",
    "train": "train a fusion network on registered pairs, or a detector on a data set",
    "import": "turn weights that a paper's authors published into a checkpoint",
    "export": "turn a trained checkpoint into an ONNX model",
    "engine": "compile ONNX models for this machine's GPU by TensorRT, and test the result",
    "eval": "evaluate networks and folders of fused images by metrics and pictures",
    "eval-detection": "evaluate what a detector finds in thermal, RGB and fused images",
    "reproduce": "make a table of a paper again, and compare",
    "bench": "time networks and backends side by side",
    "report": "make a page to look at of a result: an evaluation, a bag, a run, figures",
    "completion": "print a script with which a shell completes commands and options",
    "doctor": "show what is installed, which backends run and which models are intact",
}
"""Name (its module in options/ and commands/, _ for -, a final _ where Python reserves it) and purpose."""


class _Parser(argparse.ArgumentParser):
    """One line for a mistake: a usage of seventy lines above it hides it."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and where the options are listed."""
        self.exit(2, f"{self.prog}: error: {message}; `{self.prog} --help` lists all options\n")


def build_parser(*chosen: str) -> argparse.ArgumentParser:
    """The parser, with the options of the chosen commands only."""
    parser = _Parser(
        prog="ivfusion", description="Thermal + RGB fusion and detection, from bags, folders and topics."
    )
    parser.add_argument("--version", action="version", version=f"ivfusion {__version__}")
    _add_verbose(parser, False)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, purpose in COMMANDS.items():
        description = f"{purpose[0].upper()}{purpose[1:]}."
        subparser = subparsers.add_parser(name, help=purpose, description=description)
        # Without it, the one before the command counts.
        _add_verbose(subparser, argparse.SUPPRESS)
        if name in chosen:
            subparser.register("type", Path, named_path)
            subparser.set_defaults(stray="")
            _module("options", name).add_arguments(subparser)
            subparser.set_defaults(parser=subparser)
    return parser


def _module(room: str, command: str) -> ModuleType:
    name = f"{command}_" if keyword.iskeyword(command) else command.replace("-", "_")
    return importlib.import_module(f"ivfusion_ros.{room}.{name}")


def _parse(words: Sequence[str], chosen: str) -> argparse.Namespace:
    """The options. What is unknown is refused in the command's own words, with what may have been meant."""
    options, unknown = build_parser(chosen).parse_known_args(words)
    if unknown:
        command: argparse.ArgumentParser = options.parser
        known = re.findall(r"--[a-z][a-z0-9-]*", command.format_help())
        close = difflib.get_close_matches(unknown[0].replace("_", "-"), known, 1, 0.8)
        hint = f"; did you mean {close[0]}?" if close else _of_settings(options) or options.stray
        command.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
    return options


def _of_settings(options: argparse.Namespace) -> str:
    """A hint for who wrote --set NAME VALUE."""
    bare = next((text for text in getattr(options, "set", None) or () if "=" not in text), None)
    return "" if bare is None else f"; --set takes one word, as in --set {bare}=VALUE"


def named_path(text: str) -> Path:
    """The argparse type of a file or folder; an empty name, as of an unset variable, is not this folder."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty, expected a file or folder")
    return Path(text)


def _add_verbose(parser: argparse.ArgumentParser, default: object) -> None:
    parser.add_argument("-v", "--verbose", action="store_true", default=default, help="log in more detail")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status. A user's mistake gives one message and no traceback."""
    try:
        return _run(arguments) or _lost_output()
    except SystemExit as end:
        # argparse has printed a help text, or an error.
        if not end.code and (status := _lost_output()):
            return status
        raise


def _lost_output() -> int:
    """The exit status where results were printed into nothing, such as a full disk; else 0."""
    sys.stdout.flush()
    lost = sys.stdout.lost if isinstance(sys.stdout, _Unbreakable) else None
    return 0 if lost is None else _fail("", f"what was printed is lost: {lost.strerror}", 1)


def _run(arguments: Sequence[str] | None) -> int:
    """See main. Raises SystemExit where the words alone end it."""
    # Damaged images are reported by our own errors.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    _survive_closed_streams()
    if not sys.stderr.isatty():
        for name, value in _PROGRESS_IN_LOGS.items():
            os.environ.setdefault(f"TQDM_{name}", value)
    words = _asked(list(sys.argv[1:] if arguments is None else arguments))
    chosen = next((word for word in words if word in COMMANDS), "")
    _end_as_by_ctrl_c()
    try:
        options = _parse(words, chosen)
        level = logging.DEBUG if options.verbose else logging.INFO
        logging.basicConfig(level=level, format="%(message)s", handlers=[_Log()], force=True)
        # Where a command has files to write beside its result, it has taken their options from there.
        if outputs := sys.modules.get("ivfusion_ros.options.outputs"):
            outputs.check_output_files(options)
        if _json_alone(options) and getattr(sys.stdout, "closed_before", False):
            return _fail(chosen, "--json -: standard output is closed; name a file", 2)
        with redirect_stdout(_Aside(sys.stdout)) if _json_alone(options) else nullcontext():
            _module("commands", options.command).run(options)
    except IvfusionError as error:
        return _fail(chosen, str(error), error.exit_code)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "; free some space or write elsewhere" if full else ""
        where = f"{error.filename}: " if error.filename else ""
        return _fail(chosen, f"{where}{error.strerror or error}{advice}", 1)
    except MemoryError:
        return _fail(chosen, "out of memory; use smaller images or fewer threads", 1)
    except KeyboardInterrupt as error:
        return _fail(chosen, f"interrupted; {error}" if error.args else "interrupted", INTERRUPTED)
    return 0


def _asked(words: list[str]) -> list[str]:
    """`ivfusion`, `ivfusion help` and `ivfusion help COMMAND` as --help. A mistyped command is told."""
    if not words or words == ["help"]:
        return ["--help"]
    if words[0] == "help":
        words = [*words[1:2], "--help"]
    if not words[0].startswith("-") and words[0] not in COMMANDS:
        close = difflib.get_close_matches(words[0], COMMANDS, 1, 0.6)
        hint = f"did you mean {close[0]}?" if close else "`ivfusion help` lists them"
        print(f"ivfusion: there is no command {words[0]!r}; {hint}", file=sys.stderr)
        raise SystemExit(2)
    return words


def _end_as_by_ctrl_c() -> None:
    """Have SIGTERM clean up too, unless somebody has other plans for it."""
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    ):
        signal.signal(signal.SIGTERM, signal.default_int_handler)


_LONGEST = 4000
"""Characters of an error's line."""


class _Log(logging.Handler):
    """Messages to stderr; above a progress bar, where there is one, and not into its line."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Not what other libraries tell of themselves, such as where a key was found; --verbose has it."""
        own = record.name.partition(".")[0] == "ivfusion_ros"
        return own or record.levelno > logging.INFO or logging.getLogger().level < logging.INFO

    def emit(self, record: logging.LogRecord) -> None:
        """Write one."""
        tqdm = sys.modules.get("tqdm") if sys.stderr.isatty() else None
        with tqdm.tqdm.external_write_mode(sys.stderr) if tqdm else nullcontext():
            print(self.format(record), file=sys.stderr)


class _Unbreakable:
    """A text stream whose reader may leave (`| head`): what is written after that is dropped.

    The work goes on, since its output is a file; losing who looks on must never cost that. lost: why
    something could not be written that somebody waits for, as on a full disk. closed_before: whether there
    was no stream.
    """

    def __init__(self, stream: TextIO, closed_before: bool) -> None:
        self._stream = stream
        self.closed_before = closed_before
        self.lost: OSError | None = None

    def write(self, text: str) -> int:
        """Write what somebody reads."""
        with self._told():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand on what is buffered."""
        with self._told():
            self._stream.flush()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            pass
        except OSError as error:
            self.lost = error
        except ValueError:
            # Closed.
            pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


_PROGRESS_IN_LOGS = {
    "MININTERVAL": "10",
    "DELAY": "10",
    "BAR_FORMAT": "{desc} {n_fmt}/{total_fmt} {unit}s [{elapsed}<{remaining}, {rate_fmt}{postfix}]",
}
"""What tqdm reads when it is imported: of work that takes long, a line each ten seconds."""


class _Lines(_Unbreakable):
    """Standard error where it is no terminal: a bar that would be drawn over itself becomes lines."""

    _bar_shown = False

    def write(self, text: str) -> int:
        """Write what somebody reads."""
        if "\r" in text:
            shown = text.replace("\r", "").strip()
            self._bar_shown = bool(shown)
            return super().write(f"{shown}\n") if shown else 0
        after_bar, self._bar_shown = self._bar_shown, False
        # A bar that ends moves to the next line, where it is already.
        return 0 if after_bar and text == "\n" else super().write(text)


class _Aside:
    """Standard output while it is kept for JSON: what is printed goes to stderr. behind: what it was."""

    def __init__(self, behind: TextIO) -> None:
        self.behind = behind

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


def _json_alone(options: argparse.Namespace) -> bool:
    return str(getattr(options, "json", "")) == "-"


def _survive_closed_streams() -> None:
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        missing = stream is None
        if missing:
            # Closed before the start (`2>&-`).
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
        if isinstance(stream, io.TextIOWrapper):
            # Names of files need not be UTF-8.
            stream.reconfigure(errors="backslashreplace")
        if not isinstance(stream, _Unbreakable):
            kind = _Lines if name == "stderr" and not stream.isatty() else _Unbreakable
            setattr(sys, name, kind(stream, missing))


def _fail(command: str, message: str, status: int) -> int:
    if len(message) > _LONGEST:
        # A damaged file can have a name of a million letters within.
        message = f"{message[: _LONGEST // 2]} [...] {message[-_LONGEST // 2 :]}"
    print(f"{f'ivfusion {command}'.rstrip()}: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
