"""--web: the live page of a command, and what it asks of the pipeline."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ivfusion_ros.report.live_server import LiveServer, parse_address

if TYPE_CHECKING:
    import argparse
    from contextlib import ExitStack

    from ivfusion_ros.types import FusionResult

USUAL_PORT = "8080"


def add_web_option(parser: argparse.ArgumentParser) -> None:
    """--web [[HOST:]PORT]."""
    parser.add_argument(
        "--web",
        nargs="?",
        const=USUAL_PORT,
        metavar="[HOST:]PORT",
        help="also serve a page that shows what is fused now: to this machine, or at another HOST "
        f"(0.0.0.0: all) to who has the printed token (without a value {USUAL_PORT}; needs the extra web)",
    )


def open_page(web: str | None, title: str, stack: ExitStack, *, records: bool) -> LiveServer | None:
    """Serve until the stack closes, where it is asked for. Raises ConfigError."""
    if web is None:
        return None
    return stack.enter_context(LiveServer(parse_address(web), title, records=records))


def unmeasured(result: FusionResult) -> FusionResult:
    """Without what was measured for a page, whose topic was not asked for."""
    return replace(result, measured=None)
