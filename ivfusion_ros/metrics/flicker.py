"""Flicker of fused video: what changes in it from one frame to the next though its sources stay calmer.

The change between two frames of the fused video is held against that of both sources, an idea of
Rockinger, "Image sequence fusion using a shift-invariant wavelet transform", ICIP 1997. Camera and scene
motion change the sources too and are not counted. A fusion that never reacts more strongly than its
sources change (a copy, a weighted average, the larger or smaller of both) has no flicker; a stretch to
each frame's own minimum and maximum has.
"""

from __future__ import annotations

import numpy as np

from ivfusion_ros.metrics.grey import FloatImage, GreyImage, as_floats

Moment = tuple[GreyImage, GreyImage, GreyImage]
"""Both sources and the fused image of one time."""


def flicker(before: Moment, after: Moment) -> float:
    """Mean over the pixels of max(0, |dF| - max(|dA|, |dB|)) between two frames, grey levels, 0..255.

    A video's score is the mean over its pairs of consecutive frames. Raises ImageError.
    """
    change_a, change_b, change_f = (np.abs(change) for change in _changes(before, after))
    excess = change_f - np.maximum(change_a, change_b)
    return float(np.maximum(excess, 0).mean())


def brightness_flicker(before: Moment, after: Moment) -> float:
    """The same of the images' means, max(0, |mean dF| - max(|mean dA|, |mean dB|)), grey levels, 0..255.

    It shows the pumping of a whole picture where moving sources hide it from `flicker`; the larger of both
    sources may have a little. Raises ImageError.
    """
    change_a, change_b, change_f = (abs(float(change.mean())) for change in _changes(before, after))
    return max(0.0, change_f - max(change_a, change_b))


FLICKER = {"Flicker": flicker, "Flicker_mean": brightness_flicker}
"""Scores of two consecutive frames by name; lower is better."""


def _changes(before: Moment, after: Moment) -> tuple[FloatImage, FloatImage, FloatImage]:
    # One check for all six also finds a frame whose size is not that of its predecessor.
    as_floats(before[0], after[0], after[1])
    a0, b0, f0 = as_floats(*before)
    a1, b1, f1 = as_floats(*after)
    return a1 - a0, b1 - b0, f1 - f0
