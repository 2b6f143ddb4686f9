"""Options of `ivfusion completion`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

SHELLS = ("bash", "zsh", "tcsh")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("shell", choices=SHELLS, help="shell that the script is for")
    parser.epilog = 'For bash: eval "$(ivfusion completion bash)", for example in ~/.bashrc.'
