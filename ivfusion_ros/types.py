"""The values that travel through the pipeline: Frame -> FramePair -> FusionResult.

Shapes, dtypes, units and colour order are stated here, once, and checked on construction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from ivfusion_ros.cameras import CAMERAS as CAMERAS
from ivfusion_ros.cameras import OTHER_CAMERA as OTHER_CAMERA
from ivfusion_ros.cameras import CameraName as CameraName
from ivfusion_ros.errors import ImageError

Mode = Literal["fused", "rgb_only", "thermal_only"]
"""Which cameras an output is made of."""

Size = tuple[int, int]
"""(width, height) in pixels."""

Window = tuple[int, int, int, int]
"""Left, top, right and bottom of a part of an image, pixels; right and bottom are the first outside."""

Floats = npt.NDArray[np.float64]

Floats32 = npt.NDArray[np.float32]

Values = TypeVar("Values", Floats, Floats32)
"""Either, and the same throughout."""

Mask = npt.NDArray[np.bool_]

Boxes = npt.NDArray[np.float32]
"""(N, 4) float32, left, top, right, bottom in pixels; the first pixel spans 0 to 1."""

Image = npt.NDArray[np.uint8]
"""uint8 image, (H, W) grey or (H, W, 3) in RGB order."""

AnyImage = npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | npt.NDArray[np.int16] | npt.NDArray[np.float32]
"""(H, W) uint8, uint16, int16 or float32, or (H, W, 3) uint8 or uint16 in RGB order."""

DepthImage = npt.NDArray[np.float32] | npt.NDArray[np.uint16]
"""(H, W) float32 metres or uint16 millimetres along the optical axis; 0, NaN and below: not known."""


MAX_SIDE = 32766
"""Pixels of an image's side: OpenCV warps no larger ones."""

UNTRACKED = -1
"""The track id of an object that belongs to no track."""


def _describe(array: object) -> str:
    if isinstance(array, np.ndarray):
        return f"{array.dtype} {array.shape}"
    return type(array).__name__


def _one_line(self: Any) -> str:
    """A repr of what differs from its default, without line breaks; of an array its dtype and shape."""
    parts = []
    for item in fields(self):
        value, default = getattr(self, item.name), item.default
        if item.default_factory is not MISSING:
            default = item.default_factory()
        if isinstance(value, np.ndarray) or value != default:
            parts.append(f"{item.name}={_brief(value)}")
    return f"{type(self).__name__}({', '.join(parts)})"


def _brief(value: object) -> str:
    if isinstance(value, np.ndarray):
        return _describe(value)
    if isinstance(value, CameraInfo):
        return f"{value.width}x{value.height}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_brief(item)}" for key, item in value.items()) + "}"
    return repr(value)


@dataclass(frozen=True)
class CameraInfo:
    """Intrinsics as in sensor_msgs/CameraInfo, in pixels.

    k and r are 3x3, p is 3x4, all row-major; d has as many entries as distortion_model asks for. All hold
    for the images as they are sent. changed: what was changed for that on reading, for people.
    """

    width: int
    height: int
    distortion_model: str = "plumb_bob"
    d: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 0.0)
    k: tuple[float, ...] = (0.0,) * 9
    r: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    p: tuple[float, ...] = (0.0,) * 12
    changed: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for name, length in (("k", 9), ("r", 9), ("p", 12)):
            if len(getattr(self, name)) != length:
                raise ImageError(
                    f"camera_info.{name} has {len(getattr(self, name))} entries, expected {length}"
                )


@dataclass(frozen=True)
class Header:
    """When and by which camera an image was taken; as in Frame."""

    stamp_ns: int
    frame_id: str = ""


@dataclass(frozen=True, eq=False)
class Frame:
    """One decoded camera image.

    image: (H, W) uint8, uint16 or int16 (grey, thermal counts) or float32 (counts or temperatures), or
    (H, W, 3) uint8 or uint16 in RGB order.
    stamp_ns: acquisition time on the camera's own clock, nanoseconds.
    frame_id: optical frame of the camera (REP-103), may be empty.
    received_ns: when a recorder received it, nanoseconds on its clock; None where that is not known.
    """

    image: AnyImage
    stamp_ns: int
    frame_id: str = ""
    camera_info: CameraInfo | None = None
    received_ns: int | None = None

    def __post_init__(self) -> None:
        image = self.image
        grey = isinstance(image, np.ndarray) and image.ndim == 2
        colour = isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == 3
        good_dtype = grey and image.dtype in (np.uint8, np.uint16, np.int16, np.float32)
        if not (good_dtype or (colour and image.dtype in (np.uint8, np.uint16))) or image.size == 0:
            raise ImageError(
                f"frame image is {_describe(image)}, expected a non-empty (H, W) uint8, uint16, int16 or "
                "float32, or (H, W, 3) uint8 or uint16 array"
            )
        if max(image.shape[:2]) > MAX_SIDE:
            width, height = self.size
            raise ImageError(
                f"frame image is {width}x{height}, expected sides of at most {MAX_SIDE} pixels"
            )

    @property
    def size(self) -> Size:
        """(width, height) in pixels."""
        return int(self.image.shape[1]), int(self.image.shape[0])

    @property
    def header(self) -> Header:
        """Stamp and frame."""
        return Header(self.stamp_ns, self.frame_id)

    __repr__ = _one_line


Frames = Mapping[CameraName, Frame]
"""The frames that a result is made of; a silent camera's is left out."""


@dataclass(frozen=True, eq=False)
class FramePair:
    """A thermal and an RGB frame of the same moment.

    skew_ns: thermal stamp (with the configured clock offset added) minus RGB stamp, nanoseconds.
    depth: what the reference camera's pixels see at which distance, where a depth camera is there; of any
    size, scaled to the reference image's.
    held: the thermal frame was in an earlier pair, or is older than the largest skew; see
    pairing.hold_thermal_ms.
    """

    thermal: Frame
    rgb: Frame
    skew_ns: int = 0
    depth: DepthImage | None = None
    held: bool = False

    def __post_init__(self) -> None:
        depth = self.depth
        if depth is not None and (
            not isinstance(depth, np.ndarray)
            or depth.ndim != 2
            or depth.dtype not in (np.float32, np.uint16)
            or depth.size == 0
        ):
            raise ImageError(
                f"depth image is {_describe(depth)}, expected a non-empty (H, W) float32 array of metres "
                "or uint16 of millimetres"
            )

    @property
    def frames(self) -> Frames:
        """Both frames by camera."""
        return {"thermal": self.thermal, "rgb": self.rgb}

    __repr__ = _one_line


@dataclass(frozen=True, eq=False)
class Positions:
    """Where detected objects are: of each the middle of its box at its near side; NaN where not known.

    As far away, along the camera's optical axis, as the nearest surface seen of it (by depth) or its foot
    (by the ground). The covariances reach to what is seen in the middle of the box, and further where a
    side border of the image hides how near the object is.

    points_m: (N, 3) float64. sizes_m: (N, 3), width, height and depth along the camera's axes, the last 0
    where not known. covariances_m2: (N, 3, 3) of the points. frame_id: of points and covariances.
    rotation: 3x3, the camera's axes in that frame.
    """

    points_m: Floats
    sizes_m: Floats
    covariances_m2: Floats
    frame_id: str = ""
    rotation: Floats = field(default_factory=lambda: np.eye(3))


@dataclass(frozen=True, eq=False)
class Detections:
    """Detected objects in the pixels of the fused image.

    boxes_xyxy: (N, 4) float32, left, top, right, bottom.
    scores: (N,) float32 in [0, 1], highest first.
    class_ids: (N,) int64, indices into class_names.
    class_names: names of all classes that the detector knows.
    thermal_boxes_xyxy, rgb_boxes_xyxy: (N, 4) float32, the boxes in the pixels of each camera's own image,
    cut at its border, NaN where that camera does not see the object; None where it sent no image.
    max_kelvin, mean_kelvin: (N,) float32 over the thermal pixels in the box, NaN where there are none;
    None where the thermal camera tells no temperatures.
    track_ids: (N,) int64, the same for the same object over time, UNTRACKED for one too unsure to be
    followed; None where objects are not tracked.
    positions: where they are in space, None where that is not asked for or not known.
    placed: how each got its position, or why it has none, for people; empty where that is not asked for.
    threshold: lowest score that is reported, of any class.
    age_ns: how long before this image they were found, nanoseconds: 0 in it, more while the detector rests
    to meet a deadline.
    """

    boxes_xyxy: Boxes
    scores: Floats32
    class_ids: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    thermal_boxes_xyxy: Boxes | None = None
    rgb_boxes_xyxy: Boxes | None = None
    max_kelvin: Floats32 | None = None
    mean_kelvin: Floats32 | None = None
    track_ids: npt.NDArray[np.int64] | None = None
    threshold: float = 0.0
    age_ns: int = 0
    positions: Positions | None = None
    placed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.scores)
        for name, shape, dtype in (
            ("boxes_xyxy", (count, 4), np.float32),
            ("scores", (count,), np.float32),
            ("class_ids", (count,), np.int64),
            ("thermal_boxes_xyxy", (count, 4), np.float32),
            ("rgb_boxes_xyxy", (count, 4), np.float32),
            ("max_kelvin", (count,), np.float32),
            ("mean_kelvin", (count,), np.float32),
            ("track_ids", (count,), np.int64),
        ):
            array = getattr(self, name)
            if array is None and name not in ("boxes_xyxy", "scores", "class_ids"):
                continue
            if array.shape != shape or array.dtype != dtype:
                raise ValueError(
                    f"detections.{name} is {_describe(array)}, expected {dtype.__name__} {shape}"
                )
        if self.placed and len(self.placed) != count:
            raise ValueError(f"detections.placed has {len(self.placed)} entries, expected {count} or none")
        if count and not 0 <= self.class_ids.min() <= self.class_ids.max() < len(self.class_names):
            raise ValueError(
                f"detections.class_ids reach {self.class_ids.max()}, but there are "
                f"{len(self.class_names)} class names"
            )

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        """How many of which class, in one line."""
        counts = Counter(self.class_names[class_id] for class_id in self.class_ids)
        parts = [f"{count} {name}" for name, count in counts.most_common()] or ["no objects"]
        if len(self):
            parts.append(f"scores {self.scores.max():.2f} to {self.scores.min():.2f}")
        if self.age_ns:
            parts.append(f"age_ns={self.age_ns}")
        return f"Detections({', '.join(parts)})"

    def id_of(self, index: int) -> str:
        """An object's id in messages: the number of its track, empty for none."""
        number = UNTRACKED if self.track_ids is None else int(self.track_ids[index])
        return "" if number == UNTRACKED else str(number)

    @classmethod
    def empty(cls, class_names: tuple[str, ...] = ()) -> Detections:
        """No objects."""
        return cls(
            np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), class_names
        )


@dataclass(frozen=True)
class FaultReport:
    """What is wrong with the cameras.

    labels: faults that are present, from pipeline.faults.LABELS. thermal_weight, rgb_weight: in [0, 1],
    below 1 for a camera with a fault; the fused image is faded to the better camera's accordingly.
    """

    labels: tuple[str, ...] = ()
    thermal_weight: float = 1.0
    rgb_weight: float = 1.0


@dataclass(frozen=True)
class RegistrationReport:
    """How well a pair's images lie on each other.

    confidence, drift_px: of the online refinement, in [0, 1] and as the mean displacement that its
    correction makes; None where it is off. residual_share: of the picture that the dense residual was
    applied to, in [0, 1], 0 where it was refused; None where it is off. seen_share: of the picture that
    both cameras see, in [0, 1]. bumped: whether a camera was found to have been moved, and the correction
    went to where it is now at once; by_matcher: as the learned matcher found. matcher_asked: whether that
    one was asked about this pair.
    """

    confidence: float | None = None
    drift_px: float | None = None
    residual_share: float | None = None
    seen_share: float = 1.0
    bumped: bool = False
    by_matcher: bool = False
    matcher_asked: bool = False


@dataclass(frozen=True, eq=False)
class FusionResult:
    """What one pair became; every image has the reference camera's size and geometry.

    The reference is the RGB camera, or the thermal one where registration.reference says so.

    fused: (H, W, 3) uint8 RGB.
    thermal: (H, W) uint8, 8 bit and warped to the RGB view, black where the thermal camera sees nothing.
    rgb: (H, W, 3) uint8 RGB; it is the one that is warped where the thermal camera is the reference.
    stamp_ns, frame_id, camera_info: the reference camera's.
    headers: of each camera's own frame; a silent one has none.
    skew_ns, held: as in FramePair.
    received_ns: when its newest frame was received; None where that is not known.
    mode: where one camera is silent, `fused` is the other's image, and the missing one is black.
    detections: None where no detector is configured.
    detector_stride: the detector runs on every such image, more than 1 to meet a deadline.
    measured: (H, W), what the thermal camera measured: float32 kelvin, NaN where it sees nothing, or counts
    as it sends them, the least that their type holds there; None where nobody asked, or that camera is
    silent.
    timings_ms: wall time per stage, milliseconds.
    """

    fused: Image
    thermal: Image
    rgb: Image
    stamp_ns: int
    frame_id: str = ""
    camera_info: CameraInfo | None = None
    headers: Mapping[CameraName, Header] = field(default_factory=dict)
    skew_ns: int = 0
    held: bool = False
    received_ns: int | None = None
    mode: Mode = "fused"
    faults: FaultReport = FaultReport()
    registration: RegistrationReport = RegistrationReport()
    detections: Detections | None = None
    detector_stride: int = 1
    measured: AnyImage | None = None
    timings_ms: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.measured is not None and self.measured.shape != self.rgb.shape[:2]:
            raise ImageError(
                f"fusion result's measured is {_describe(self.measured)}, expected {self.rgb.shape[:2]}"
            )
        for name, expected in (
            ("fused", self.rgb.shape),
            ("thermal", self.rgb.shape[:2]),
            ("rgb", (*self.rgb.shape[:2], 3)),
        ):
            array = getattr(self, name)
            if array.dtype != np.uint8 or array.shape != expected:
                raise ImageError(f"fusion result's {name} is {_describe(array)}, expected uint8 {expected}")

    @property
    def size(self) -> Size:
        """(width, height) of every image."""
        return self.fused.shape[1], self.fused.shape[0]

    @property
    def header(self) -> Header:
        """Stamp and frame."""
        return Header(self.stamp_ns, self.frame_id)

    __repr__ = _one_line


@dataclass(frozen=True, eq=False)
class DepthFrame:
    """A depth image in the view of the reference camera, and when it was taken."""

    image: DepthImage
    stamp_ns: int

    __repr__ = _one_line
