"""Which topics of a bag are the thermal and the RGB camera: by name, or guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ivfusion_ros.errors import BagError
from ivfusion_ros.images.encodings import COLOUR_ENCODINGS
from ivfusion_ros.messages.type_names import (
    CAMERA_INFOS,
    COMPRESSED_IMAGE,
    IMAGE,
    IMAGES,
    RAW_IMAGES,
    TRANSFORMS,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

# A word of the topic name, or a part of one, and what it says about the camera. Short words must
# stand alone ("ir" is in "first"); "flir" and "left" are weak because visible cameras bear them too.
THERMAL_NAMES = re.compile(r"thermal|lwir|boson|lepton")
RGB_NAMES = re.compile(r"rgb|colou?r|visible")
WEAK_THERMAL_NAMES = re.compile(r"infra|flir|(?<![a-z])ir(?![a-z])")
WEAK_RGB_NAMES = re.compile(r"camera|(?<![a-z])left(?![a-z])")
NO_CAMERA_NAMES = re.compile(r"depth|disparity|(?<![a-z])fused(?![a-z])|image_registered")

THERMAL_ENCODINGS = re.compile(r"mono1\d|16[us]c1|y16")
FLOAT_ENCODINGS = ("32fc1", "64fc1")
DEPTH_NAMES = re.compile(r"depth")
DEPTH_ENCODINGS = re.compile(r"32fc1|16uc1")
ALIGNED_DEPTH_NAMES = re.compile(r"aligned|registered")

TRANSPORTS = re.compile(r"/(compressed|compressedDepth|foxglove|ffmpeg|h26[45]|video)$")
"""Last words of the topics that image_transport and its like put beside an image topic."""

OTHER_RGB_ENCODINGS = re.compile(r"rgb|bgr|bayer|yuv|uyvy|yuyv|nv\d\d")
"""Of those that this package cannot decode, too."""


@dataclass(frozen=True)
class BagTopic:
    """One topic of a bag.

    encoding: of its first image, '' for other types or where unknown.
    definition: text of the message definition, '' where the bag has none; type_hash: RIHS01 or ''.
    qos: rosbags' Qos tuples that its publishers offered. count: messages, None where unknown.
    serialization: of its messages, a name in SERIALIZATIONS. written_type, schema: protobuf's own name of
    the type, and its FileDescriptorSet.
    """

    name: str
    type: str
    encoding: str = ""
    definition: str = ""
    type_hash: str = ""
    qos: tuple[Any, ...] = ()
    count: int | None = None
    serialization: str = "cdr"
    written_type: str = ""
    schema: bytes = b""

    @property
    def camera(self) -> str:
        """Name shared by the raw and the compressed topics of one camera."""
        return self.name if self.type in RAW_IMAGES else TRANSPORTS.sub("", self.name)


@dataclass(frozen=True)
class Topics:
    """The chosen topics; an info is None where the bag has no camera_info beside the image topic.

    note: what was guessed and why, for the user; '' where both were named.
    """

    thermal: str
    rgb: str
    thermal_info: str | None = None
    rgb_info: str | None = None
    note: str = ""

    @property
    def names(self) -> frozenset[str]:
        """All names."""
        return frozenset(filter(None, (self.thermal, self.rgb, self.thermal_info, self.rgb_info)))


def choose_topics(
    bag_topics: Sequence[BagTopic], thermal: str | None = None, rgb: str | None = None
) -> Topics:
    """Find the two cameras: those named, the others guessed from names and pixel encodings.

    Raises BagError for a topic that is missing or of a wrong type, and where the guess is ambiguous.
    """
    images = [topic for topic in bag_topics if topic.type in IMAGES]
    images = [topic for topic in images if topic.count != 0]
    if not images:
        held = ", ".join(f"{topic.name} ({topic.type})" for topic in bag_topics) or "nothing"
        raise BagError(
            f"the bag has no messages on an image topic ({IMAGE}, {COMPRESSED_IMAGE}, Foxglove's and video "
            f"packets); its topics: {held}"
        )
    chosen_thermal = _named(bag_topics, images, thermal) if thermal else None
    chosen_rgb = _named(bag_topics, images, rgb) if rgb else None
    if chosen_thermal and chosen_thermal == chosen_rgb:
        raise BagError(f"{chosen_thermal.name} is given as both the thermal and the RGB topic")
    notes: list[str] = []
    taken = [topic.camera for topic in (chosen_thermal, chosen_rgb) if topic]
    candidates = [topic for topic in _cameras(images) if topic.camera not in taken]
    if chosen_thermal is None:
        chosen_thermal = _guess("thermal", candidates, images, notes)
        candidates.remove(chosen_thermal)
    if chosen_rgb is None:
        chosen_rgb = _guess("rgb", candidates, images, notes)
    return Topics(
        chosen_thermal.name,
        chosen_rgb.name,
        _info_of(chosen_thermal, bag_topics),
        _info_of(chosen_rgb, bag_topics),
        "; ".join(notes),
    )


def choose_depth_topic(bag_topics: Sequence[BagTopic], name: str | None = None) -> str:
    """The topic of depth images: the named one, or the only one that looks so; aligned before others.

    Raises BagError.
    """
    images = [topic for topic in bag_topics if topic.type in RAW_IMAGES and topic.count != 0]
    if name is not None:
        chosen = _named(bag_topics, images, name)
        return chosen.name
    found = [
        topic
        for topic in images
        if DEPTH_NAMES.search(topic.name.lower()) and DEPTH_ENCODINGS.fullmatch(topic.encoding.lower())
    ]
    found = [topic for topic in found if ALIGNED_DEPTH_NAMES.search(topic.name.lower())] or found
    if len(found) == 1:
        return found[0].name
    what = f"{len(found)} topics may be the depth image" if found else "no topic looks like the depth image"
    raise BagError(
        f"{what}; raw image topics in the bag: {describe(images) or 'none'}; name it with --depth-topic, "
        "or set registration.depth to false"
    )


def transform_topics(bag_topics: Iterable[BagTopic], *, static: bool) -> list[str]:
    """Names of the topics with transforms: /tf_static and its like, or /tf."""
    names = (topic.name for topic in bag_topics if topic.type == TRANSFORMS and topic.count != 0)
    return sorted({name for name in names if name.endswith("static") == static})


def describe(topics: Iterable[BagTopic]) -> str:
    """Topics as a user reads them: name, type without package, encoding."""
    return ", ".join(
        f"{topic.name} ({' '.join(filter(None, (topic.type.split('/')[-1], topic.encoding)))})"
        for topic in topics
    )


def _named(bag_topics: Sequence[BagTopic], images: Sequence[BagTopic], name: str) -> BagTopic:
    wanted = "/" + name.lstrip("/")
    for topic in images:
        if "/" + topic.name.lstrip("/") == wanted:
            return topic
    for topic in bag_topics:
        if "/" + topic.name.lstrip("/") == wanted:
            wrong = "has no messages" if topic.count == 0 else f"is a {topic.type}"
            raise BagError(
                f"topic {topic.name} {wrong}, expected messages of type {IMAGE} or "
                f"{COMPRESSED_IMAGE}; image topics in the bag: {describe(images)}"
            )
    raise BagError(f"the bag has no topic {wanted}; image topics in the bag: {describe(images)}")


def _cameras(images: Sequence[BagTopic]) -> list[BagTopic]:
    """One topic per camera, raw before compressed, without depth and this package's own output."""
    best: dict[str, BagTopic] = {}
    for topic in images:
        if _is_depth(topic):
            continue
        known = best.get(topic.camera)
        if known is None or IMAGES.index(topic.type) < IMAGES.index(known.type):
            best[topic.camera] = topic
    return [best[camera] for camera in sorted(best)]


def _is_depth(topic: BagTopic) -> bool:
    """Whether it is no camera by its name, or by its floats where the name says nothing else."""
    name = topic.camera.lower()
    if NO_CAMERA_NAMES.search(name):
        return True
    floats = topic.encoding.lower() in FLOAT_ENCODINGS
    return floats and not (THERMAL_NAMES.search(name) or WEAK_THERMAL_NAMES.search(name))


def _is_colour(topic: BagTopic) -> bool:
    return topic.encoding in COLOUR_ENCODINGS or bool(OTHER_RGB_ENCODINGS.search(topic.encoding.lower()))


def _score_thermal(topic: BagTopic) -> int:
    name, encoding = topic.name.lower(), topic.encoding.lower()
    if THERMAL_NAMES.search(name):
        return 6 + bool(THERMAL_ENCODINGS.search(encoding)) - _is_colour(topic)
    if RGB_NAMES.search(name) or _is_colour(topic):
        return 0
    return 3 * bool(WEAK_THERMAL_NAMES.search(name)) + bool(THERMAL_ENCODINGS.search(encoding))


def _score_rgb(topic: BagTopic) -> int:
    name = topic.name.lower()
    if _score_thermal(topic):
        return 0
    score = 4 * bool(RGB_NAMES.search(name)) + 2 * _is_colour(topic)
    return score + bool(WEAK_RGB_NAMES.search(name))


SCORES: dict[str, Callable[[BagTopic], int]] = {"thermal": _score_thermal, "rgb": _score_rgb}


def _guess(
    kind: str, candidates: Sequence[BagTopic], images: Sequence[BagTopic], notes: list[str]
) -> BagTopic:
    """The best candidate for a kind of camera; adds what it took to notes. Raises BagError."""
    other = "rgb" if kind == "thermal" else "thermal"
    ranked = sorted(((SCORES[kind](topic), topic) for topic in candidates), key=lambda item: -item[0])
    best = [topic for score, topic in ranked if score and score == ranked[0][0]]
    if not best:
        # A camera that neither name nor encoding tells apart is taken only if nothing else is left.
        best = [topic for topic in candidates if not SCORES[other](topic)]
    best = _raw_of_one_camera(best) or best
    if len(best) == 1:
        notes.append(f"took {describe(best)} for the {kind} camera (--{kind}-topic to change)")
        return best[0]
    if best:
        raise BagError(
            f"{len(best)} topics may be the {kind} camera: {describe(best)}; choose one with --{kind}-topic"
        )
    raise BagError(
        f"no topic looks like the {kind} camera; image topics in the bag: {describe(images)}; "
        f"name it with --{kind}-topic"
    )


def _raw_of_one_camera(topics: Sequence[BagTopic]) -> list[BagTopic]:
    """The image_raw among image_raw, image_rect, image_color ... of one camera driver."""
    one_camera = len({topic.camera.rsplit("/", 1)[0] for topic in topics}) == 1
    return [topic for topic in topics if one_camera and topic.camera.endswith("/image_raw")]


def _info_of(topic: BagTopic, bag_topics: Iterable[BagTopic]) -> str | None:
    """The camera_info beside it, or the only topic of the kind there."""
    camera = topic.camera.rsplit("/", 1)[0]
    beside = [
        other.name
        for other in bag_topics
        if other.type in CAMERA_INFOS and other.name.rsplit("/", 1)[0] == camera
    ]
    usual = f"{camera}/camera_info"
    return usual if usual in beside else beside[0] if len(beside) == 1 else None
