"""Judging what a detector finds in thermal, RGB and fused images of the same scenes."""
