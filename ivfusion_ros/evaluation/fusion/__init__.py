"""Judging fusion networks, and folders of fused images by other programs, with metrics and pictures."""
