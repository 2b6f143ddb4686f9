"""A transform is called missing 2 s after somebody began to look for it, and not before."""

from types import SimpleNamespace
from typing import Any

import pytest


class Case:
    """A node's timers and log, a buffer that nobody fills but the test, and the clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import tf2_ros

        from ivfusion_ros.ros import tf

        self.now_s = 1000.0
        self.warnings: list[str] = []
        self.poses: list[Any] = []
        self.tf: Any = tf
        self.buffer = tf2_ros.Buffer()
        monkeypatch.setattr(tf, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        stand_in = SimpleNamespace(
            Buffer=lambda: self.buffer,
            TransformListener=lambda *_, **__: None,
            TransformException=tf2_ros.TransformException,
        )
        monkeypatch.setattr(tf, "_tf2", lambda _: stand_in)
        log = SimpleNamespace(warning=self.warnings.append, info=lambda _: None)
        self.node: Any = SimpleNamespace(get_logger=lambda: log, create_timer=lambda *_, **__: None)

    def look_after(self, watch: Any, seconds: float) -> None:
        """Look once, so long after the start."""
        self.now_s = 1000.0 + seconds
        watch._look()

    def send(self, parent: str, child: str, x: float) -> None:
        from geometry_msgs.msg import TransformStamped

        message = TransformStamped()
        message.header.frame_id, message.child_frame_id = parent, child
        message.transform.translation.x, message.transform.rotation.w = x, 1.0
        self.buffer.set_transform_static(message, "test")


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Case:
    return Case(monkeypatch)


def between_cameras(case: Case) -> Any:
    return case.tf.TransformWatch(case.node, lambda: ("rgb", "/thermal"), lambda: 0, case.poses.append)


def test_the_cameras_transform_has_2_s_to_come(case: Case) -> None:
    watch = between_cameras(case)
    for seconds in (0.0, 1.0, 1.99):
        case.look_after(watch, seconds)
        assert (watch.missing, case.warnings) == ("", [])
    case.look_after(watch, 2.0)
    assert watch.missing.startswith("no transform from thermal (thermal images) to rgb (RGB images) on /tf")
    assert watch.missing.endswith("; meanwhile the calibration's are used")
    assert case.warnings == [watch.missing]
    case.send("rgb", "thermal", 0.25)
    case.look_after(watch, 2.2)
    assert watch.missing == "" and watch.source == "TF"
    assert [pose.translation_m.tolist() for pose in case.poses] == [[0.25, 0.0, 0.0]]


def test_one_that_comes_late_is_never_called_missing(case: Case) -> None:
    watch = between_cameras(case)
    case.look_after(watch, 1.8)
    case.send("rgb", "thermal", 0.25)
    case.look_after(watch, 2.0)
    assert case.warnings == [] and len(case.poses) == 1


def test_frames_that_cannot_be_linked_have_2_s_too(case: Case) -> None:
    watch = case.tf.TransformWatch(case.node, lambda: ("camera", "camera"), lambda: 0, case.poses.append)
    case.look_after(watch, 1.99)
    assert (watch.missing, case.warnings) == ("", [])
    case.look_after(watch, 2.0)
    assert "both cameras' images have the frame_id camera" in case.warnings[0]


def test_the_robots_transform_has_2_s_to_come(case: Case) -> None:
    watch = case.tf.BaseWatch(case.node, "base_link", lambda: "rgb", case.poses.append)
    for seconds in (0.0, 1.99):
        case.look_after(watch, seconds)
        assert case.warnings == []
    case.look_after(watch, 2.0)
    (warning,) = case.warnings
    assert warning.startswith("no transform from rgb (reference images) to base_link on /tf_static or /tf")
    case.send("base_link", "rgb", 1.5)
    case.look_after(watch, 2.2)
    assert [pose.translation_m.tolist() for pose in case.poses] == [[1.5, 0.0, 0.0]]
