"""The core's log lines, on the node's log and so on /rosout."""

from __future__ import annotations

import logging
from typing import Any


class RosHandler(logging.Handler):
    """Forwards Python log records to a ROS logger."""

    def __init__(self, logger: Any) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record at its level."""
        text = self.format(record)
        # A line each: rclpy refuses one source line that logs at different levels.
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)


def forward_logs(logger: Any) -> None:
    """Send what the package logs from now on to a ROS logger; one per process."""
    package = logging.getLogger("ivfusion_ros")
    package.handlers = [RosHandler(logger)]
    package.setLevel(logging.INFO)
    package.propagate = False
