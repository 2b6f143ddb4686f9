"""Training of fusion networks and detectors; everything but the settings needs torch."""

from ivfusion_ros.training.runs import latest_run, new_run

__all__ = ["detector", "fusion", "latest_run", "new_run"]
