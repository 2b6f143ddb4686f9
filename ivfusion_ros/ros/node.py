"""fusion_node: the command. What it runs takes a second to import, in which Ctrl-C ends it quietly too."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from ivfusion_ros.errors import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one node, or one in each namespace that is named; returns the exit status."""
    # A KeyboardInterrupt amid imports may become any other error there; until rclpy has its own handler.
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    from ivfusion_ros.ros.fusion_node import run

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
