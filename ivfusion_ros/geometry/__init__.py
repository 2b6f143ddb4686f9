"""Cameras, rigs and warps: where a pixel of one camera lies in the other; no image content is looked at."""
