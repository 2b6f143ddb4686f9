"""Cameras whose images are of no use: found, named, and weighted less."""

from ivfusion_ros.config.pipeline import FaultConfig
from ivfusion_ros.pipeline.faults.monitor import LABELS, FaultMonitor
from ivfusion_ros.types import FaultReport

__all__ = ["LABELS", "FaultConfig", "FaultMonitor", "FaultReport"]
