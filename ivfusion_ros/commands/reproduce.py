"""`ivfusion reproduce`: a table of a paper, as printed and as it comes out here."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ivfusion_ros.backends.cpu import usable_cores
from ivfusion_ros.commands.interruption import going_on_by_itself, held_back
from ivfusion_ros.commands.options import check_at_least
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.files import alone_in, make_folder, write_whole
from ivfusion_ros.reproduce.job import Given, Job, Networks, Outcome
from ivfusion_ros.reproduce.kinds import make_table
from ivfusion_ros.reproduce.page import html_page, markdown_page
from ivfusion_ros.reproduce.paper import read_paper

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

log = logging.getLogger(__name__)


def run(options: argparse.Namespace) -> None:
    """Make the table, print it, and write it as Markdown and HTML. Raises IvfusionError."""
    with alone_in(options.out / options.paper):
        _reproduce(options)


def _reproduce(options: argparse.Namespace) -> None:
    check_at_least(options, jobs=1, threads=0)
    paper = read_paper(options.paper, options.quick)
    given = Given(*(_named(getattr(options, name), f"--{name}") for name in ("data", "fused", "weights")))
    networks = Networks(options.backend, options.precision, options.threads, options.jobs or usable_cores())
    out = options.out / options.paper
    job = Job(paper, paper.table(options.table), given, out, networks, held_back)
    outcome = _made(job)
    page = markdown_page(job, outcome)
    make_folder(out)
    path = out / f"table_{options.table}{'_quick' if options.quick else ''}.md"
    write_whole(path, page)
    write_whole(path.with_suffix(".html"), html_page(job, outcome))
    print(page)
    log.info("table: %s and %s", path, path.with_suffix(".html").name)


def _made(job: Job) -> Outcome:
    """The table. Raises IvfusionError, KeyboardInterrupt with how to go on."""
    with going_on_by_itself(job.work):
        return make_table(job)


def _named(texts: Sequence[str], option: str) -> dict[str, Path]:
    """Paths by name. Raises ConfigError."""
    paths: dict[str, Path] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or not name or not path:
            raise ConfigError(f"{option} is {text!r}, expected NAME=PATH")
        if name in paths:
            raise ConfigError(f"{option} names {name} twice; give each once")
        paths[name] = Path(path)
    return paths
