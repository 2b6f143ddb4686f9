"""What is said of pairs that take far too long; needs no ROS."""

import pytest

from ivfusion_ros.config.parameters import iter_parameters
from ivfusion_ros.config.pipeline import PipelineConfig
from ivfusion_ros.ros.slowness import slow_in_work, slow_pair


def test_a_pair_in_work_is_told_with_its_stage_and_what_to_do() -> None:
    assert slow_in_work("", 0.0) == slow_in_work("fuse", 1.9) == ""
    text = slow_in_work("fuse", 5.2)
    assert text.startswith("the pair in work has been in stage fuse for 5 s: set fusion.model to a quicker")
    assert "detection.model" in slow_in_work("detect", 5.2)


def test_a_pair_that_is_done_is_told_by_its_longest_stage() -> None:
    assert slow_pair({}) == slow_pair({"scale": 900.0, "fuse": 1000.0}) == ""
    text = slow_pair({"scale": 100.0, "fuse": 400.0, "detect": 4600.0})
    assert text.startswith("a pair takes 5.1 s, of which detect 4.6 s: set detection.model")


@pytest.mark.parametrize("stage", ["register", "fuse", "detect"])
def test_what_to_do_names_parameters_that_there_are(stage: str) -> None:
    known = {item.name for item in iter_parameters(PipelineConfig)}
    words = [word.strip(",:;") for word in slow_in_work(stage, 9.0).split()]
    named = [word for word in words if word.partition(".")[0] in ("fusion", "detection", "registration")]
    assert named and {*named} <= known
