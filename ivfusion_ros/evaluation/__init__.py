"""Judging fusion networks, detectors and speed, with tables and pictures."""
