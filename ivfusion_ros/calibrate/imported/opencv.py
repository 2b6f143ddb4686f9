"""OpenCV's FileStorage (YAML, XML, JSON), as its samples and people's scripts name what is in it."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import cv2
import numpy as np

from ivfusion_ros.calibrate.imported.parts import Camera, Move, Parts, numbers, whole_size
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.files import MAX_YAML_BYTES, parse_yaml, read_bytes
from ivfusion_ros.geometry.rig import Extrinsics

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ivfusion_ros.types import Floats, Size

_MATRIX = "M|K|camera_?matrix|intrinsics?(?:_?matrix)?|mtx"
_DISTORTION = "D|dist(?:ortion)?(?:_?coeff(?:icient)?s?)?"
_ROTATIONS = ("R", "rotation", "rotation_matrix", "stereo_R", "rvec", "rotation_vector", "om")
_TRANSLATIONS = ("T", "t", "translation", "translation_vector", "stereo_T", "tvec")
_SIZES = ("image_size", "imageSize", "img_size", "size", "resolution")
_FISHEYE = ("fisheye", "fisheye_model")


def read_file_storages(paths: Sequence[Path]) -> Parts:
    """What all files hold together, as stereo_calib writes two. Raises ConfigError."""
    files = {path.stem: _read(path) for path in paths}
    count = Counter(name for content in files.values() for name in content)
    # Of files for one camera each, with the same names in both, the files' names tell them apart.
    found = {
        name if count[name] == 1 else f"{name}_{stem}": value
        for stem, content in files.items()
        for name, value in content.items()
    }
    shared = _size(found, "")
    model = "fisheye" if any(found.get(name) for name in _FISHEYE) else "opencv"
    cameras = [
        Camera(which, which or paths[0].stem, _size(found, which) or shared, matrix, model, distortion)
        for which, matrix, distortion in _lenses(found)
    ]
    if not cameras:
        raise ConfigError(
            f"there is no camera matrix among {', '.join(found) or 'nothing'}; expected names such as "
            "M1, K1, camera_matrix or cameraMatrix_thermal"
        )
    return Parts(tuple(cameras), _moves(found, cameras))


def _read(path: Path) -> dict[str, Any]:
    """Numbers, texts, lists and matrices by name.

    Not by OpenCV itself, which a damaged file makes overwrite memory that is not its own.
    """
    try:
        text = read_bytes(path, MAX_YAML_BYTES).decode()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} cannot be read as an OpenCV FileStorage: {error}") from error
    content = _from_xml(text, path) if text.lstrip().startswith("<") else _from_yaml(text, path)
    return {name: _value(name, value) for name, value in content.items()}


def _from_yaml(text: str, path: Path) -> dict[str, Any]:
    """JSON as well. The header and the tags are not those of YAML."""
    plain = re.sub(r"\A\s*%YAML:1\.0|!!opencv-[a-z-]+|!<tag:[^>]*>", "", text)
    content = parse_yaml(plain, str(path))
    if not isinstance(content, dict):
        raise ConfigError(f"{path} cannot be read as an OpenCV FileStorage: it has no names")
    return {str(name): value for name, value in content.items()}


def _from_xml(text: str, path: Path) -> dict[str, Any]:
    if "<!" in text.replace("<!--", ""):
        raise ConfigError(f"{path} has definitions of its own, which no OpenCV FileStorage has")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as an OpenCV FileStorage: {error}") from error
    return {item.tag: _node(item) for item in root}


def _node(item: ElementTree.Element) -> Any:
    if item.find("data") is not None:
        return {part.tag: (part.text or "").split() for part in item}
    words = (item.text or "").split()
    return words[0] if len(words) == 1 else words


def _value(name: str, value: Any) -> Any:
    if not isinstance(value, dict) or "data" not in value:
        return value
    if "sizes" in value:
        sides = [int(side) for side in numbers(value["sizes"], f"{name}.sizes")]
    else:
        sides = [int(numbers(value.get(side), f"{name}.{side}", 1)[0]) for side in ("rows", "cols")]
    found = numbers(value["data"], f"{name}.data", math.prod(sides))
    return found.reshape(sides) if min(sides, default=0) > 0 else found


def _lenses(found: dict[str, Any]) -> list[tuple[str, Floats, Floats]]:
    """(which camera, K, distortion) in the order of the file."""
    lenses: dict[str, Floats] = {}
    for name, value in found.items():
        which = _which(name, _MATRIX)
        if which is not None and np.shape(value) == (3, 3):
            lenses.setdefault(which, numbers(value, name, 9).reshape(3, 3))
    distortions: dict[str, Floats] = {}
    for name, value in found.items():
        which = _which(name, _DISTORTION)
        if which in lenses and isinstance(value, (np.ndarray, list)):
            distortions.setdefault(which, numbers(value, name))
    return [(which, matrix, distortions.get(which, np.zeros(0))) for which, matrix in lenses.items()]


def _which(name: str, what: str) -> str | None:
    """The rest of a name that has `what` at its start or end, such as 1 or thermal; None without it."""
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    for pattern in (f"(?:{what})_?(\\d*|_[a-z0-9_]+)", f"([a-z0-9]+(?:_[a-z0-9]+)*)_(?:{what})"):
        match = re.fullmatch(pattern, plain, re.IGNORECASE)
        if match:
            return match[1].strip("_").lower()
    return None


def _size(found: dict[str, Any], which: str) -> Size | None:
    """Of a camera by its name, of all with ''."""
    end = f"_{which}" if which else ""
    for name in _SIZES:
        for key in (name + end, name + which, f"{which}_{name}"):
            value = found.get(key)
            if value is not None:
                return whole_size(value, key)
    width, height = (found.get(f"image_{side}{end}") for side in ("width", "height"))
    return None if width is None or height is None else whole_size((width, height), "image_width, height")


def _moves(found: dict[str, Any], cameras: list[Camera]) -> tuple[Move, ...]:
    """stereoCalibrate's R and T, from the first camera to the second."""
    rotation = next((name for name in _ROTATIONS if name in found), None)
    translation = next((name for name in _TRANSLATIONS if name in found), None)
    if rotation is None or translation is None or len(cameras) != 2:
        return ()
    turn = numbers(found[rotation], rotation)
    if len(turn) == 3:
        turn = np.asarray(cv2.Rodrigues(turn)[0], np.float64).ravel()
    extrinsics = Extrinsics(
        numbers(turn, rotation, 9).reshape(3, 3), numbers(found[translation], translation, 3)
    )
    first, second = cameras
    return (Move(second.name, first.name, extrinsics, f"{rotation} and {translation}"),)
