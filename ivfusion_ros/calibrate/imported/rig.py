"""From what other tools' files hold to a rig: which camera is which, and how the one sees the other."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.calibrate.imported.camera_info import read_camera_infos
from ivfusion_ros.calibrate.imported.kalibr import read_camchain
from ivfusion_ros.calibrate.imported.opencv import read_file_storages
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.geometry.calibration import Calibration
from ivfusion_ros.geometry.camera import CameraModel
from ivfusion_ros.geometry.choices import DEFAULT_PLANE_DISTANCE_M, TOOLS
from ivfusion_ros.geometry.distortion import standard_lens
from ivfusion_ros.geometry.other_tools import tool_of
from ivfusion_ros.geometry.rig import Extrinsics, RigParts
from ivfusion_ros.types import OTHER_CAMERA

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ivfusion_ros.calibrate.imported.parts import Camera, Move, Parts
    from ivfusion_ros.geometry.choices import Tool
    from ivfusion_ros.types import CameraName, Size

_HINTS: dict[CameraName, re.Pattern[str]] = {
    "thermal": re.compile(r"thermal|lwir|infra|boson|lepton|optris|seek|flir|(?<![a-z])ir(?![a-z])"),
    "rgb": re.compile(r"rgb|colou?r|visible|(?<![a-z])vis(?![a-z])"),
}

READERS: dict[Tool, Callable[[Sequence[Path]], Parts]] = {
    "Kalibr": lambda paths: read_camchain(paths[0]),
    "ROS": read_camera_infos,
    "OpenCV": read_file_storages,
}


@dataclass(frozen=True)
class Imported:
    """lines: what was taken, for people. missing: what the files do not say, '' where nothing is."""

    calibration: Calibration
    lines: tuple[str, ...]
    missing: str = ""


def import_calibration(
    paths: Sequence[Path],
    names: Mapping[CameraName, str | None],
    sizes: Mapping[CameraName, Size | None],
    metres: float = 1.0,
    plane_distance_m: float = DEFAULT_PLANE_DISTANCE_M,
) -> Imported:
    """Files of one tool -> a rig.

    names: the files' names of the cameras, None to tell by topics and names. sizes: (width, height) where
    the files do not say. metres: what the files' unit of length is. Raises ConfigError.
    """
    tool = _tool(paths)
    parts = READERS[tool](paths)
    cameras = _cameras(parts.cameras, names)
    lenses = {which: _lens(camera, which, sizes.get(which)) for which, camera in cameras.items() if camera}
    thermal, rgb = cameras["thermal"], cameras["rgb"]
    extrinsics, written = _between(parts.moves, thermal.name, rgb.name)
    if extrinsics is not None:
        extrinsics = replace(extrinsics, translation_m=extrinsics.translation_m * metres)
    rig = RigParts(lenses["thermal"], lenses["rgb"], extrinsics, plane_distance_m)
    quality = {"method": f"imported from {TOOLS[tool]}", "files": [path.name for path in paths]}
    calibration = Calibration(lenses["thermal"].size, lenses["rgb"].size, rig=rig, quality=quality)
    lines = [f"{TOOLS[tool]}: thermal is {_title(thermal)}, RGB is {_title(rgb)}"]
    lines += [_said(extrinsics, written)] if extrinsics is not None else []
    lines += _clocks(parts, thermal.name, rgb.name)
    missing = "" if extrinsics is not None else (
        f"the files do not say how the cameras stand to each other ({', '.join(map(str, paths))}): add "
        "rig.rgb_from_thermal to the calibration, or take it from TF (registration.extrinsics: tf)"
    )  # fmt: skip
    return Imported(calibration, tuple(lines), missing)


def _tool(paths: Sequence[Path]) -> Tool:
    tools = {tool_of(path) for path in paths}
    (tool,) = tools if len(tools) == 1 else (None,)
    if tool is None:
        found = ", ".join(f"{path} ({tool_of(path) or 'unknown'})" for path in paths)
        raise ConfigError(
            f"found {found}; expected files of one tool: {', '.join(TOOLS.values())}; a calibration of "
            "`ivfusion calibrate` needs no import, name it in registration.calibration"
        )
    if tool == "Kalibr" and len(paths) > 1:
        raise ConfigError(f"{len(paths)} camchains are given, expected one with both cameras")
    return tool


def _cameras(
    cameras: tuple[Camera, ...], names: Mapping[CameraName, str | None]
) -> dict[CameraName, Camera]:
    """The two cameras: those named, else by what describes them, the other one of two by elimination."""
    listed = ", ".join(_title(camera) for camera in cameras)
    chosen: dict[CameraName, Camera] = {}
    for which, name in names.items():
        if name is not None:
            known = [camera for camera in cameras if camera.name == name]
            if not known:
                raise ConfigError(f"there is no camera {name}; the cameras are {listed}")
            chosen[which] = known[0]
    for which, hint in _HINTS.items():
        taken = list(chosen.values())
        likely = [c for c in cameras if c not in taken and hint.search(f"{c.name} {c.described}".lower())]
        if which not in chosen and len(likely) == 1:
            chosen[which] = likely[0]
    for which in _HINTS:
        rest = [camera for camera in cameras if camera not in chosen.values()]
        if which not in chosen and OTHER_CAMERA[which] in chosen and len(rest) == 1:
            chosen[which] = rest[0]
    if len(chosen) < 2 or chosen["thermal"] is chosen["rgb"]:
        raise ConfigError(
            f"the cameras are {listed}, which does not tell the thermal and the RGB camera: name them with "
            "--thermal-camera and --rgb-camera, or give the files of both"
        )
    return chosen


def _lens(camera: Camera, which: CameraName, size: Size | None) -> CameraModel:
    size = camera.size or size
    if size is None:
        raise ConfigError(
            f"the files do not say the size of the {which} images: give it with --{which}-size WxH"
        )
    try:
        return CameraModel(size, camera.matrix, *standard_lens(camera.distortion_model, camera.distortion))
    except ConfigError as error:
        raise ConfigError(f"{_title(camera)}: {error}") from error


def _between(moves: tuple[Move, ...], source: str, target: str) -> tuple[Extrinsics | None, str]:
    """From one camera's frame to another's along the moves, either way; and which moves that were."""
    reached: dict[str, tuple[Extrinsics, tuple[str, ...]]] = {
        source: (Extrinsics(np.eye(3), np.zeros(3)), ())
    }
    for _ in moves:
        for move in moves:
            for there, here, step, title in (
                (move.target, move.source, move.extrinsics, move.written),
                (move.source, move.target, move.extrinsics.inverse(), f"the inverse of {move.written}"),
            ):
                if here in reached and there not in reached:
                    so_far, titles = reached[here]
                    reached[there] = step.after(so_far), (*titles, title)
    found = reached.get(target)
    return (None, "") if found is None else (found[0], ", then ".join(found[1]))


def _said(extrinsics: Extrinsics, written: str) -> str:
    x, y, z = extrinsics.translation_m * 1000
    turn = np.degrees(np.arccos(np.clip((np.trace(extrinsics.rotation) - 1) / 2, -1, 1)))
    return (
        f"rgb_from_thermal is {written}: the thermal lens is at ({x:.1f}, {y:.1f}, {z:.1f}) mm in the RGB "
        f"camera's frame (x right, y down, z ahead), turned by {turn:.2f} degrees"
    )


def _clocks(parts: Parts, thermal: str, rgb: str) -> list[str]:
    shifts = parts.time_shifts_s
    if thermal not in shifts or rgb not in shifts:
        return []
    offset_ms = (shifts[thermal] - shifts[rgb]) * 1000
    return [f"clocks: set pairing.thermal_time_offset_ms to {offset_ms:.1f} (timeshift_cam_imu)"]


def _title(camera: Camera) -> str:
    described = camera.described.strip()
    name = camera.name or "a camera without a name"
    return name if described in ("", camera.name) else f"{name} ({described})"
