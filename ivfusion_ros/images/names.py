"""What the names of image files say."""

from __future__ import annotations

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
"""File names that read_image and write_image know, in lower case."""

RUN_GAP = 5
"""Consecutive frame numbers further apart than this belong to different recordings."""
