"""What a replay takes of a bag beside its cameras: depth images, transforms, all topics as they are."""

from __future__ import annotations

import logging
import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ivfusion_ros.bags.messages import to_transforms
from ivfusion_ros.bags.serializations import decode
from ivfusion_ros.bags.topics import transform_topics
from ivfusion_ros.errors import BagError, ConfigError
from ivfusion_ros.geometry.tf import TransformTree
from ivfusion_ros.messages.frames import to_depth_frame
from ivfusion_ros.messages.type_names import NAV_SAT_FIX
from ivfusion_ros.sources.bag import BagSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from ivfusion_ros.bags import BagWriter
    from ivfusion_ros.config.pipeline import PipelineConfig
    from ivfusion_ros.sources.source import Source
    from ivfusion_ros.sync.depth import DepthFrames

log = logging.getLogger(__name__)


def read_other_topics(
    source: Source, config: PipelineConfig, depth: DepthFrames | None, depth_topic: str | None
) -> TransformTree | None:
    """Have depth images and transforms taken where they are asked for; the transforms.

    depth_topic: None to guess. Raises BagError, and ConfigError where the source is no bag.
    """
    by_tf = "registration.extrinsics: tf" if config.registration.extrinsics == "tf" else ""
    wanted = by_tf or ("positions by TF" if config.positions.needs_base else "")
    if depth is not None:
        _read_depth(_bag(source, "registration.depth"), depth, depth_topic)
    return _read_transforms(_bag(source, wanted), wanted) if wanted else None


def read_fixes(source: Source, take: Callable[[float, float], None]) -> None:
    """Have latitude and longitude in degrees taken of GPS fixes, where the source is a bag that has any."""
    if not isinstance(source, BagSource):
        return
    found = [topic.name for topic in source.reader.topics if topic.type == NAV_SAT_FIX and topic.count != 0]

    def of_message(message: Any) -> None:
        known = math.isfinite(message.latitude) and math.isfinite(message.longitude)
        # Below 0 the receiver has no fix.
        if known and message.status.status >= 0:
            take(float(message.latitude), float(message.longitude))

    # A second receiver would have it jump between two places.
    source.others.update(dict.fromkeys(found[:1], of_message))


def copy_originals(source: Source, writer: BagWriter) -> None:
    """Have all messages copied. Raises ConfigError where the source is no bag."""
    _bag(source, "--originals").each_message = writer.write_raw


def other_topics(source: Source) -> list[str]:
    """Those that are taken beside the cameras'."""
    return list(source.others) if isinstance(source, BagSource) else []


def _bag(source: Source, what: str) -> BagSource:
    if not isinstance(source, BagSource):
        raise ConfigError(
            f"{what} needs topics of a bag, but {' and '.join(source.names.values())} is none"
        )
    return source


def _read_depth(source: BagSource, depth: DepthFrames, topic: str | None) -> None:
    """Have the bag's depth images taken, through their topic in others."""
    chosen = source.reader.choose_depth_topic(topic)
    log.info("depth: %s%s", chosen, "" if topic else " (--depth-topic to change)")
    source.others[chosen] = lambda message: depth.add(to_depth_frame(message))


def _read_transforms(source: BagSource, wanted: str) -> TransformTree:
    """The bag's static transforms, and the topics of others that change; wanted: for what, for people."""
    reader = source.reader
    static, changing = (transform_topics(reader.topics, static=static) for static in (True, False))
    if not static and not changing:
        raise BagError(
            f"{wanted} is asked for, but the bag has no /tf_static and no /tf: record them too, or set "
            "registration.extrinsics to calibration, positions.frame to camera and "
            "positions.camera_height_m"
        )
    tree = TransformTree()

    def take(message: Any) -> None:
        for transform in to_transforms(message):
            tree.set(*transform)

    # Before the first image: a recorder gets static transforms at any moment of its start.
    for topic, _, data in reader.messages(static):
        with suppress(BagError):
            take(decode(topic, data))
    # Once more in their turn, where those that cannot be read are counted.
    source.others.update(dict.fromkeys((*static, *changing), take))
    return tree
