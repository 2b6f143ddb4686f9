"""Thermal + RGB fusion and detection for robots: one pipeline for ROS topics, bags and folders."""

__version__ = "0.1.0"
