"""--web, --window, --rerun and --foxglove: where else results are shown while they come."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

# The face: servers and viewers are imported when somebody asks for one.
from ivfusion_ros import report

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

    from ivfusion_ros.report import LiveServer
    from ivfusion_ros.types import FusionResult

log = logging.getLogger(__name__)


def open_page(web: str | None, title: str, stack: ExitStack, *, records: bool) -> LiveServer | None:
    """Serve until the stack closes, where it is asked for. Raises ConfigError."""
    if web is None:
        return None
    return stack.enter_context(report.LiveServer(report.parse_address(web), title, records=records))


def open_viewers(
    rerun: Path | None, foxglove: int | None, stack: ExitStack
) -> list[Callable[[FusionResult], None]]:
    """What takes results for the viewers that are asked for, until the stack closes. Raises ConfigError."""
    sinks: list[Callable[[FusionResult], None]] = []
    if rerun is not None:
        sinks.append(stack.enter_context(report.RerunFile(rerun)).add)
    if foxglove is not None:
        server = stack.enter_context(report.FoxgloveServer(foxglove))
        log.info("Foxglove and Lichtblick: open the connection ws://127.0.0.1:%d", server.port)
        sinks.append(server.add)
    return sinks


def open_window(title: str, stack: ExitStack, *, wanted: bool) -> list[Callable[[FusionResult], None]]:
    """What takes results for a window, where it is wanted. Raises ConfigError where none can be opened."""
    return [stack.enter_context(report.Window(title)).add] if wanted else []


def unmeasured(result: FusionResult) -> FusionResult:
    """Without what was measured for a page, whose topic was not asked for."""
    return replace(result, measured=None)
