"""The topics that results go to, a row each, for a live node and a replayed bag alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ivfusion_ros.images.draw import annotate
from ivfusion_ros.images.files import JPEG_QUALITY
from ivfusion_ros.messages.detections import make_detections, make_native_detections, make_temperatures
from ivfusion_ros.messages.images import make_camera_info, make_compressed_image, make_image
from ivfusion_ros.messages.make import Make
from ivfusion_ros.messages.old_detections import make_old_detections
from ivfusion_ros.messages.positions import make_positions
from ivfusion_ros.messages.type_names import (
    CAMERA_INFO,
    COMPRESSED_IMAGE,
    DETECTIONS,
    DETECTIONS_3D,
    IMAGE,
    POINTS,
)
from ivfusion_ros.types import FusionResult

if TYPE_CHECKING:
    from ivfusion_ros.types import CameraName, Detections


@dataclass(frozen=True)
class Output:
    """One topic.

    topic: relative to the node's namespace, to / in a bag. type: full name of its messages. message: makes
    that of a result, None where the result has nothing for the topic. replay: when a replay writes it:
    always, with its images raw or compressed only, or never. costly: a node publishes it after the others.
    by_detector: it is there only where a detector is, and its classes are those of LABELS_TOPIC.
    shows_objects: it is there anyway, and has objects in it where a detector is.
    """

    topic: str
    type: str
    message: Callable[[Make, FusionResult], Any]
    replay: Literal["always", "raw", "compressed", "never"] = "always"
    costly: bool = False
    by_detector: bool = False
    shows_objects: bool = False


LABELS_TOPIC = "detections/label_info"
"""Not of a result: make_label_info's message, latched, before the first detections."""

REGISTERED_TOPICS = ("thermal/image_registered", "thermal/image_registered/compressed")
"""Of results that have `measured`, which a pipeline has to be asked for."""

COMPRESSED_TOPIC = "fused/image_raw/compressed"


def _info(make: Make, result: FusionResult) -> Any:
    return None if result.camera_info is None else make_camera_info(make, result.header, result.camera_info)


def _fused(make: Make, result: FusionResult) -> Any:
    return make_image(make, result.header, result.fused)


def _compressed(quality: int, make: Make, result: FusionResult) -> Any:
    return make_compressed_image(make, result.header, result.fused, quality)


def _registered(make: Make, result: FusionResult) -> Any:
    return None if result.measured is None else make_image(make, result.header, result.measured)


def _registered_compressed(make: Make, result: FusionResult) -> Any:
    return None if result.measured is None else make_compressed_image(make, result.header, result.measured)


def _annotated(make: Make, result: FusionResult) -> Any:
    found = result.detections
    return make_image(make, result.header, result.fused if found is None else annotate(result.fused, found))


def _detections(make: Make, result: FusionResult) -> Any:
    found = _new_detections(result)
    return None if found is None else make_detections(make, result.header, found)


def _temperatures(make: Make, result: FusionResult) -> Any:
    found = _new_detections(result)
    if found is None or found.max_kelvin is None or found.mean_kelvin is None:
        return None
    return make_temperatures(make, result.header, found)


def _positions(make: Make, result: FusionResult) -> Any:
    found = _new_detections(result)
    return None if found is None or found.positions is None else make_positions(make, result.header, found)


def _thermal_detections(make: Make, result: FusionResult) -> Any:
    return _native_detections(make, result, "thermal")


def _rgb_detections(make: Make, result: FusionResult) -> Any:
    return _native_detections(make, result, "rgb")


def _native_detections(make: Make, result: FusionResult, camera: CameraName) -> Any:
    found, header = _new_detections(result), result.headers.get(camera)
    if found is None or header is None:
        return None
    return make_native_detections(make, header, found, camera)


def _new_detections(result: FusionResult) -> Detections | None:
    """Not those of an older image, while the detector rests."""
    return None if result.detections is None or result.detections.age_ns else result.detections


# The order of a result's messages in a bag: intrinsics first, so that a reader knows the camera when its
# first image comes.
OUTPUTS = (
    Output("fused/camera_info", CAMERA_INFO, _info),
    Output("fused/image_raw", IMAGE, _fused, replay="raw"),
    Output(
        COMPRESSED_TOPIC,
        COMPRESSED_IMAGE,
        partial(_compressed, JPEG_QUALITY),
        replay="compressed",
        costly=True,
    ),
    Output("detections", DETECTIONS, _detections, by_detector=True),
    Output("detections/temperatures", POINTS, _temperatures, by_detector=True),
    Output("detections_3d", DETECTIONS_3D, _positions, by_detector=True),
    Output("thermal/detections", DETECTIONS, _thermal_detections, replay="never", by_detector=True),
    Output("rgb/detections", DETECTIONS, _rgb_detections, replay="never", by_detector=True),
    Output("fused/image_annotated", IMAGE, _annotated, replay="never", costly=True, shows_objects=True),
    Output(REGISTERED_TOPICS[0], IMAGE, _registered, replay="raw"),
    Output(
        REGISTERED_TOPICS[1], COMPRESSED_IMAGE, _registered_compressed, replay="compressed", costly=True
    ),
)


def _old(camera: CameraName | None) -> Callable[[Make, FusionResult], Any]:
    def message(make: Make, result: FusionResult) -> Any:
        found = _new_detections(result)
        header = result.header if camera is None else result.headers.get(camera)
        return None if found is None or header is None else make_old_detections(make, header, found, camera)

    return message


_OLD = {"detections": _old(None), "thermal/detections": _old("thermal"), "rgb/detections": _old("rgb")}


def outputs_of(layout: str, jpeg_quality: Callable[[], int]) -> tuple[Output, ...]:
    """OUTPUTS for a detection.message_layout, and for the quality as it is when an image is made."""

    def compressed(make: Make, result: FusionResult) -> Any:
        return _compressed(jpeg_quality(), make, result)

    changed = {COMPRESSED_TOPIC: compressed, **(_OLD if layout == "names" else {})}
    return tuple(replace(output, message=changed.get(output.topic, output.message)) for output in OUTPUTS)
