"""What camera_info says of images that are a part of the sensor, binned or rectified."""

import logging

import numpy as np
import pytest

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.geometry.camera_info import newest_info, read_out, rectified
from ivfusion_ros.types import CameraInfo

K = (320.0, 0.0, 199.5, 0.0, 300.0, 149.5, 0.0, 0.0, 1.0)
P = (310.0, 0.0, 198.5, -31.0, 0.0, 290.0, 148.5, 0.0, 0.0, 0.0, 1.0, 0.0)
INFO = CameraInfo(400, 300, "plumb_bob", (-0.2, 0.05, 0.0, 0.0, 0.0), K, p=P)


def test_a_region_and_binning_move_and_divide() -> None:
    found = read_out(INFO, (40, 30, 320, 240), (2, 3))
    assert (found.width, found.height) == (160, 80)
    assert found.k == pytest.approx((160, 0, 79.75, 0, 100, 119.5 / 3, 0, 0, 1))
    assert found.p == pytest.approx((155, 0, 79.25, -15.5, 0, 290 / 3, 39.5, 0, 0, 0, 1, 0))
    assert (found.d, found.r) == (INFO.d, INFO.r)
    assert found.changed == "region 320x240 at (40, 30) and binning 2x3 of 400x300 folded into K and P"


def test_the_whole_sensor_is_as_it_was() -> None:
    for region in ((0, 0, 0, 0), (0, 0, 400, 300)):
        for binning in ((0, 0), (1, 1)):
            assert read_out(INFO, region, binning) is INFO


def test_a_region_at_the_corner_changes_the_size_alone() -> None:
    found = read_out(INFO, (0, 0, 320, 240), (0, 0))
    assert (found.width, found.height, found.k, found.p) == (320, 240, K, P)


def test_a_camera_without_calibration_stays_without() -> None:
    found = read_out(CameraInfo(400, 300), (40, 30, 320, 240), (2, 2))
    assert found.k == (0.0,) * 9 and found.p == (0.0,) * 12


def test_rectified_images_have_p_and_no_distortion() -> None:
    found = rectified(INFO)
    assert np.reshape(found.k, (3, 3)).tolist() == np.reshape(P, (3, 4))[:, :3].tolist()
    assert found.p == P and not any(found.d)
    # A rectifying driver may leave P out.
    assert rectified(CameraInfo(400, 300, "plumb_bob", (0.1,) * 5, K)).k == K


def test_what_was_changed_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    known = None
    for _ in range(3):
        known = newest_info(known, read_out(INFO, (40, 30, 320, 240), (1, 1)), "/rgb/image_raw")
    newest_info(known, INFO, "/rgb/image_raw")
    assert [record.message for record in caplog.records] == [
        "camera_info of /rgb/image_raw: region 320x240 at (40, 30) of 400x300 folded into K and P"
    ]


def test_a_region_outside_of_the_sensor_is_refused_as_any_damaged_one() -> None:
    with pytest.raises(ConfigError, match="the one before counts on"):
        newest_info(INFO, read_out(INFO, (500, 0, 0, 0), (1, 1)))
