"""`ivfusion completion`: a script with which a shell completes commands, options and files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ivfusion_ros.errors import ConfigError

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> None:
    """Print the script. Raises ConfigError without shtab."""
    try:
        import shtab
    except ImportError as error:
        raise ConfigError(f"completion needs shtab ({error}): pip install shtab") from error
    # All commands' options, and this command is imported by the parser.
    from ivfusion_ros.cli import COMMANDS, build_parser

    parser = build_parser(*COMMANDS)
    for action in _actions(parser):
        if getattr(action.type, "__name__", "") in ("Path", "check", "output_folder"):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, shell=options.shell))


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Of the parser and its commands."""
    found = []
    for action in parser._actions:
        found.append(action)
        if isinstance(action.choices, dict):
            found += [each for sub in action.choices.values() for each in sub._actions]
    return found
