"""Judging fusion networks, detectors and speed, with tables and pictures."""

__all__ = ["detection", "fusion", "speed"]
