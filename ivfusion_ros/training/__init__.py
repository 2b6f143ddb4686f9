"""Training of fusion networks and detectors; all but their configs needs torch."""

from ivfusion_ros.training.runs import latest_run, new_run

__all__ = ["detector", "fusion", "latest_run", "new_run"]
