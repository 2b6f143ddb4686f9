"""What `make docs` makes of the program itself: the page of all commands and their options."""

from __future__ import annotations

import os
from typing import Any

from mkdocs.structure.files import File, Files

from ivfusion_ros.cli import COMMANDS, build_parser


def on_files(files: Files, config: Any) -> Files:
    """Add cli.md, which has every command's help."""
    # The same on every terminal.
    os.environ["COLUMNS"] = "100"
    parts = ["# Commands\n"]
    for name, purpose in COMMANDS.items():
        parser = build_parser(name)
        command = parser._subparsers._group_actions[0].choices[name]  # type: ignore[union-attr,index]
        parts.append(f"## ivfusion {name}\n\n{purpose}.\n\n```text\n{command.format_help()}```\n")
    files.append(File.generated(config, "cli.md", content="\n".join(parts)))
    return files
