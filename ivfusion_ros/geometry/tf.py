"""How two cameras stand to each other by the transforms between frames (TF), without tf2."""

from __future__ import annotations

import numpy as np

from ivfusion_ros.geometry.rig import Extrinsics

_MIN_TURN = 1e-5
"""rad; a hundredth of a pixel at a focal length of 1000 pixels"""
_MIN_SHIFT_M = 1e-5


def differ(one: Extrinsics, other: Extrinsics) -> bool:
    """Whether two poses differ by more than the noise of a transform that is published again and again."""
    turned = np.abs(one.rotation - other.rotation).max() > _MIN_TURN
    return bool(turned or np.abs(one.translation_m - other.translation_m).max() > _MIN_SHIFT_M)


def frames_problem(rgb_frame: str, thermal_frame: str) -> str:
    """Why no transform can be looked up between the frames of the cameras' images; '' where one can."""
    for camera, frame in (("thermal", thermal_frame), ("RGB", rgb_frame)):
        if not frame:
            return f"the {camera} images have no frame_id: set it in the camera's driver"
    if rgb_frame == thermal_frame:
        return (
            f"both cameras' images have the frame_id {rgb_frame}: give each camera an optical frame of its "
            "own in its driver"
        )
    return ""


def missing_transform(rgb_frame: str, thermal_frame: str, source: str, reason: str = "") -> str:
    """What to say where no transform links the cameras. source: where it was looked for."""
    problem = frames_problem(rgb_frame, thermal_frame)
    if problem:
        return f"no transform between the cameras: {problem}"
    return (
        f"no transform from {thermal_frame} (thermal images) to {rgb_frame} (RGB images) {source}"
        f"{f' ({reason})' if reason else ''}; publish the thermal camera's pose in the RGB camera's "
        "optical frame, for example: ros2 run tf2_ros static_transform_publisher --x 0.05 --y 0 --z 0 "
        f"--qx 0 --qy 0 --qz 0 --qw 1 --frame-id {rgb_frame} --child-frame-id {thermal_frame}"
    )


def missing_base(base_frame: str, camera_frame: str, source: str, reason: str = "") -> str:
    """What to say where no transform tells where the reference camera is on the robot."""
    if not camera_frame:
        return "no positions: the reference camera's images have no frame_id: set it in the camera's driver"
    return (
        f"no transform from {camera_frame} (reference images) to {base_frame} {source}"
        f"{f' ({reason})' if reason else ''}: no positions by it; publish the robot's description, or set "
        "positions.base_frame, or positions.frame: camera and positions.camera_height_m"
    )


def bare(frame: str) -> str:
    """A frame's name as TF has it: some drivers still put a slash in front."""
    return frame.removeprefix("/")


class TransformTree:
    """The newest transform of every frame to its parent."""

    def __init__(self) -> None:
        self._parents: dict[str, tuple[str, Extrinsics]] = {}
        self._found: dict[tuple[str, str], Extrinsics | None] = {}

    def set(self, parent: str, child: str, pose: Extrinsics) -> None:
        """Take a transform: how points move from child to parent."""
        known = self._parents.get(bare(child))
        if known is None or known[0] != bare(parent) or differ(known[1], pose):
            self._parents[bare(child)] = bare(parent), pose
            self._found.clear()

    def lookup(self, parent: str, child: str) -> Extrinsics | None:
        """How points move from child to parent; None where nothing links them.

        The same object until a transform changes.
        """
        key = bare(parent), bare(child)
        if key not in self._found:
            self._found[key] = self._chain(*key)
        return self._found[key]

    def _chain(self, parent: str, child: str) -> Extrinsics | None:
        above_parent, above_child = self._ancestors(parent), self._ancestors(child)
        for frame, from_child in above_child.items():
            if frame in above_parent:
                return above_parent[frame].inverse().after(from_child)
        return None

    def _ancestors(self, frame: str) -> dict[str, Extrinsics]:
        """The frame and all above it, nearest first, each with the way there."""
        found = {frame: Extrinsics(np.eye(3), np.zeros(3))}
        while frame in self._parents:
            parent, pose = self._parents[frame]
            if parent in found:
                break
            found[parent] = pose.after(found[frame])
            frame = parent
        return found
