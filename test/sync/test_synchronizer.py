"""Pairs with their depth images; the rules themselves are tested in test_pairing and test_depth_frames."""

import numpy as np
import pytest

from ivfusion_ros.config.pipeline import PairingConfig, PipelineConfig, RegistrationConfig
from ivfusion_ros.sync.synchronizer import Synchronizer
from ivfusion_ros.types import DepthFrame, Frame, FramePair

MS = 1_000_000


def frame(stamp_ms: int) -> Frame:
    return Frame(np.zeros((2, 2), np.uint8), stamp_ms * MS)


def depth_frame(metres: float, stamp_ms: int) -> DepthFrame:
    return DepthFrame(np.full((2, 2), metres, np.float32), stamp_ms * MS)


def metres(pairs: list[FramePair]) -> list[float | None]:
    return [None if pair.depth is None else float(pair.depth[0, 0]) for pair in pairs]


@pytest.fixture
def synchronizer() -> Synchronizer:
    return Synchronizer(PipelineConfig(registration=RegistrationConfig(depth=True)))


def test_pairs_that_come_at_once_and_those_of_the_end_have_depth(synchronizer: Synchronizer) -> None:
    assert synchronizer.depth is not None
    synchronizer.depth.add(depth_frame(2.0, 0))
    assert synchronizer.add("rgb", frame(0)) == []
    assert metres(synchronizer.add("thermal", frame(0))) == [2.0]
    # Whether a nearer RGB frame follows is not known before the end.
    assert synchronizer.add("rgb", frame(100)) + synchronizer.add("thermal", frame(95)) == []
    synchronizer.depth.add(depth_frame(3.0, 100))
    assert metres(synchronizer.flush()) == [3.0]
    assert (synchronizer.pairer.pairs, synchronizer.depth.frames, synchronizer.depth.missed) == (2, 2, 0)


def test_without_depth_asked_for_there_is_none() -> None:
    synchronizer = Synchronizer(PipelineConfig())
    assert synchronizer.depth is None
    synchronizer.add("rgb", frame(0))
    assert metres(synchronizer.add("thermal", frame(0))) == [None]


def test_a_reset_forgets_frames_and_depth_images(synchronizer: Synchronizer) -> None:
    assert synchronizer.depth is not None
    synchronizer.depth.add(depth_frame(2.0, 0))
    synchronizer.add("rgb", frame(0))
    synchronizer.reset()
    assert synchronizer.add("thermal", frame(0)) == []
    assert metres(synchronizer.add("rgb", frame(0))) == [None]
    assert synchronizer.pairer.drops == {"rgb_reset": 1}


def test_limits_change_for_both(synchronizer: Synchronizer) -> None:
    assert synchronizer.depth is not None
    registration = RegistrationConfig(depth=True, depth_max_skew_ms=500.0)
    synchronizer.set_config(PipelineConfig(PairingConfig(max_skew_ms=1.0), registration=registration))
    synchronizer.depth.add(depth_frame(2.0, 400))
    synchronizer.add("rgb", frame(0))
    assert metres(synchronizer.add("thermal", frame(0))) == [2.0]
    synchronizer.add("rgb", frame(1000))
    synchronizer.add("thermal", frame(1002))
    assert synchronizer.flush() == []
