"""A colour image, and what a sensor behind Bayer filters sees of one."""

import numpy as np


def smooth_rgb(height=48, width=64):
    """A colour image without fine detail, different in every channel."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 3, y * 4, 200 - x - y], axis=-1).astype(np.uint8)


def bayer_mosaic(rgb, pattern):
    """What a sensor with this 2x2 pattern of filters, read from the upper left pixel on, would see."""
    mosaic = np.zeros(rgb.shape[:2], np.uint8)
    for position, colour in enumerate(pattern):
        row, column = divmod(position, 2)
        mosaic[row::2, column::2] = rgb[row::2, column::2, "rgb".index(colour)]
    return mosaic
