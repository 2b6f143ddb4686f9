"""Which kind of source a user's paths are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ivfusion_ros.bags.files import is_bag
from ivfusion_ros.errors import DataError
from ivfusion_ros.sources.bag import BagSource
from ivfusion_ros.sources.data_set import DataSet
from ivfusion_ros.sources.expected import EXPECTED
from ivfusion_ros.sources.source import Source, SourceOptions
from ivfusion_ros.sources.two_cameras import TwoCameras

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def _are_bags(paths: Sequence[Path]) -> bool:
    return all(map(is_bag, paths))


def _are_two_cameras(paths: Sequence[Path]) -> bool:
    return len(paths) == 2 and not any(map(is_bag, paths))


def _is_data_set(paths: Sequence[Path]) -> bool:
    return len(paths) == 1 and not is_bag(paths[0]) and not paths[0].is_file()


KINDS: dict[
    str, tuple[Callable[[Sequence[Path]], bool], Callable[[Sequence[Path], SourceOptions], Source]]
] = {
    "bags": (_are_bags, BagSource),
    "two cameras": (_are_two_cameras, TwoCameras),
    "data set": (_is_data_set, DataSet),
}
"""By kind: whether paths are of it, and what opens them; the first that fits is taken."""


USED = {
    "bags": ("thermal_topic", "rgb_topic"),
    "two cameras": ("rate_hz", "stamps", "thermal_stamps", "rgb_stamps"),
    "data set": ("rate_hz",),
}
"""By kind: what it takes of SourceOptions, beside what is of images."""


def open_source(paths: Sequence[Path], options: SourceOptions | None = None) -> Source:
    """The source that the paths are. Raises IvfusionError."""
    options = options or SourceOptions()
    for kind, (fits, make) in KINDS.items():
        if fits(paths):
            options.refuse_unused(USED[kind], f"{' and '.join(map(str, paths))} ({kind})")
            return make(paths, options)
    one = len(paths) == 1 and paths[0].is_file()
    advice = "; of one camera's film or folder, name the other camera's too, thermal first" if one else ""
    raise DataError(f"{', '.join(map(str, paths)) or 'nothing'} was given, expected {EXPECTED}{advice}")
