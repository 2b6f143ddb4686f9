"""Moments that somebody marked while recording, as lines of a log, which programs for bags list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ivfusion_ros.messages.make import make_time
from ivfusion_ros.messages.type_names import LOG

if TYPE_CHECKING:
    from ivfusion_ros.messages.make import Make

MARKS_TOPIC = "marks"
_INFO = 20


def make_mark(make: Make, stamp_ns: int, text: str) -> Any:
    """rcl_interfaces/Log. stamp_ns: of the result that was to be seen."""
    return make(
        LOG,
        stamp=make_time(make, stamp_ns),
        level=_INFO,
        name="ivfusion",
        msg=text,
        file="",
        function="",
        line=0,
    )
