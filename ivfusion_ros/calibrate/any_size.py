"""How wide one camera sees beside the other, from ordinary scenes, where nothing tells it.

A street's lines meet in one point, so it looks alike at every size, and a wrong size may agree well enough
to be trusted. The right one agrees better: all are tried, and what is not clearly the best is doubted.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.registration.scene.align import Alignment, ImagePair, align_many
from ivfusion_ros.types import Floats

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger(__name__)

_SIZES = 1.6 ** np.arange(-3.0, 4.0)
"""Widths of the thermal view to start from, in widths of the RGB one; each search reaches the next one."""
_MOST_PAIRS = 6
_APART, _EQUAL = 1.2, 1.3
"""Factors: from the first on, two sizes are two; within the second, views are about equally wide."""
_LEAD = 0.15
"""Over every other size. Right sizes of twelve sets of streets led by 0.48 or more."""
_OTHER_SIZE = 0.75
"""Least of views that are not about equally wide. Wrong sizes reached 0.65, right ones had 0.84 or more."""


@dataclass(frozen=True, eq=False)
class SizeFound:
    """initial: 3x3 rgb_from_thermal to start from. width: of the thermal view, in widths of the RGB one.

    doubt: why this size is not to be trusted, None where it is.
    """

    initial: Floats
    width: float
    doubt: str | None


def find_size(pairs: Sequence[ImagePair]) -> SizeFound:
    """The size at which a few of the pairs agree best, of 0.2 to 5. Raises as align_many does."""
    log.info("nothing tells how wide the lenses see: trying %d sizes, which --hfov saves", len(_SIZES))
    few = pairs[:: -(-len(pairs) // _MOST_PAIRS)]
    found = [align_many(few, _sized(few[0], size)) for size in _SIZES]
    best = max(found, key=_sureness)
    width = _width(best, few[0])
    others = [(_sureness(one), _width(one, few[0])) for one in found]
    rivals = [(sure, size) for sure, size in others if not _alike(size, width, _APART)]
    rival, rival_width = max(rivals, default=(0.0, width))
    sure = _sureness(best)
    place = f"where the thermal view is {width:.2f} times as wide as RGB's ({sure:.2f} of 1)"
    doubt = None
    if sure - rival < _LEAD:
        doubt = f"they fit {place}, and nearly as well at {rival_width:.2f} times ({rival:.2f})"
    elif sure < _OTHER_SIZE and not _alike(width, 1.0, _EQUAL):
        doubt = f"they fit best {place}, expected {_OTHER_SIZE:g} or more for views of different widths"
    return SizeFound(best.rgb_from_thermal, width, doubt)


def _sureness(found: Alignment) -> float:
    # The confidence is full where two thirds agree, which a view of few pixels reaches at a wrong size too.
    return found.confidence * found.agreement


def _sized(pair: ImagePair, width: float) -> Floats:
    """rgb_from_thermal of views with one centre; width: of the thermal one, in widths of the RGB one."""
    thermal, visible = pair
    scale = width * visible.shape[1] / thermal.shape[1]
    down, across = (np.array(visible.shape) - 1) / 2 - scale * (np.array(thermal.shape) - 1) / 2
    return np.array([[scale, 0, across], [0, scale, down], [0, 0, 1]])


def _width(found: Alignment, pair: ImagePair) -> float:
    """Of the thermal view, in widths of the RGB one, in the middle of the thermal image."""
    thermal, visible = pair
    middle = np.array([(thermal.shape[1] - 1) / 2, (thermal.shape[0] - 1) / 2, 1.0])
    # How areas grow there through a 3x3.
    growth = (
        abs(np.linalg.det(found.rgb_from_thermal)) / abs(float(found.rgb_from_thermal[2] @ middle)) ** 3
    )
    return float(np.sqrt(growth) * thermal.shape[1] / visible.shape[1])


def _alike(one: float, other: float, factor: float) -> bool:
    return bool(abs(np.log(one / other)) < np.log(factor))
