"""Images that never came, by the stamps of those that did."""

import numpy as np
import pytest

from ivfusion_ros.ros.gaps import missing_share

PERIOD_NS = 33_333_333


@pytest.mark.parametrize("lost", [0.0, 0.1, 0.5, 0.8])
def test_the_share_of_a_steady_camera_with_jitter(lost: float) -> None:
    random = np.random.default_rng(0)
    stamps = np.arange(2000) * PERIOD_NS + random.normal(0, 1e6, 2000).astype(int)
    came = stamps[random.random(2000) >= lost]
    expected = 1 - 149 * PERIOD_NS / (came[-1] - came[-150])
    assert missing_share(came[-150:].tolist()) == pytest.approx(expected, abs=0.02)


def test_a_camera_without_a_rate_is_not_judged() -> None:
    steps = np.random.default_rng(0).integers(PERIOD_NS, 3 * PERIOD_NS, 200)
    assert missing_share(np.cumsum(steps).tolist()) == 0


def test_few_images_and_what_was_before_a_jump_back_say_nothing() -> None:
    few = [PERIOD_NS * index for index in (0, 1, *range(2, 38, 2))]
    assert missing_share(few) == 0
    many = [PERIOD_NS * index for index in (*range(30), *range(31, 81, 5))]
    assert missing_share(many) > 0.4
    assert missing_share([*many, 0]) == 0
    assert missing_share([*many, *(PERIOD_NS * index for index in range(25))]) == 0
