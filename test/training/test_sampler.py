"""Crops of a step: from its number alone, of each pair once a pass, of one or several sizes, made worse."""

import threading
from dataclasses import replace

import cv2
import numpy as np
import pytest
from training_samples import config, pair_folder

from ivfusion_ros.errors import ConfigError, DataError
from ivfusion_ros.sources.layouts import find_pairs
from ivfusion_ros.training.fusion.augment import augment
from ivfusion_ros.training.fusion.config import AugmentConfig
from ivfusion_ros.training.fusion.data import Sampler, image_means, read_luminance
from ivfusion_ros.training.fusion.prefetch import Prefetch

STILL = AugmentConfig(flip=False, rotate=False)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return find_pairs(pair_folder(tmp_path_factory.mktemp("pairs")))


def ramp(height: int = 96, width: int = 128) -> np.ndarray:
    """Six planes that tell where a crop came from; labels 7 below the middle row."""
    rows, columns = np.mgrid[:height, :width]
    labels = np.where(rows > height // 2, 7, 255)
    return np.stack([rows, columns, labels, rows, rows, columns]).astype(np.uint8)


def cut(planes, changes, wanted=(64, 64), seed=0):
    random = np.random.default_rng(seed)
    return augment(planes, image_means(planes), wanted, (32, 32), changes, random)


def test_a_step_is_made_of_its_number_alone(pairs) -> None:
    first, second = Sampler(pairs, config(), (32, 32)), Sampler(pairs, config(), (32, 32))
    first.step(0)
    (one,), (other,) = first.step(7), second.step(7)
    np.testing.assert_array_equal(one.images, other.images)
    assert one.images.shape == (2, 3, 64, 64) and one.seen is None
    assert not np.array_equal(one.images, second.step(8)[0].images)
    assert not np.array_equal(one.images, Sampler(pairs, config(seed=1), (32, 32)).step(7)[0].images)


def test_a_pass_takes_each_pair_once(pairs) -> None:
    seen: list[str] = []

    def read(pair):
        seen.append(pair.stem)
        return read_luminance(pair)

    sampler = Sampler(pairs, config(batch=3, memory_gb=0.0), (32, 32), read)
    for number in range(8):
        sampler.step(number)
    assert sorted(seen[:12]) == sorted(seen[12:]) == [pair.stem for pair in pairs]
    assert seen[:12] != seen[12:]


def test_images_are_kept_up_to_a_limit(pairs) -> None:
    reads = []

    def read(pair):
        reads.append(pair.stem)
        return read_luminance(pair)

    size = 3 * 96 * 128
    sampler = Sampler(pairs, config(batch=12, memory_gb=5 * size / 1e9), (32, 32), read)
    sampler.step(0)
    sampler.step(1)
    assert len(reads) == 12 + 7


def test_several_sizes_and_whole_images(pairs) -> None:
    sampler = Sampler(pairs, config(crop=(32, 64, 0)), (32, 32))
    shapes = {patches.images.shape[2:] for number in range(30) for patches in sampler.step(number)}
    assert shapes == {(32, 32), (64, 64), (96, 128), (128, 96)}
    # One step has crops of one kind, put together by size.
    steps = [sampler.step(number) for number in range(30)]
    assert all(sum(map(len, step)) == 2 for step in steps)


def test_whole_images_stay_whole_when_they_are_enlarged(pairs) -> None:
    enlarged = AugmentConfig(flip=False, rotate=False, smallest_scale=2.0, largest_scale=2.0)
    (patches,) = Sampler(pairs, config(crop=(0,), batch=1, augment=enlarged), (32, 32)).step(0)
    assert patches.images.shape[2:] == (192, 256)


def test_images_of_differing_sizes_are_taken_as_far_as_they_go(tmp_path) -> None:
    folders = [pair_folder(tmp_path / str(width), (1, 2), (width, 70)) for width in (100, 140)]
    pairs = [pair for folder in folders for pair in find_pairs(folder)]
    step = Sampler(pairs, config(crop=(96,), batch=4, augment=STILL), (32, 32)).step(0)
    assert sorted((patches.images.shape[2:], len(patches)) for patches in step) == [((64, 96), 4)]
    with pytest.raises(DataError, match=r"pair 0000.D is 100x70, smaller than the 96"):
        Sampler(find_pairs(folders[0]), config(crop=(96,)), (96, 96)).step(0)


def test_a_crop_keeps_its_planes_together_whatever_turns_it() -> None:
    planes = ramp()
    for seed in range(20):
        images = cut(planes, AugmentConfig(), seed=seed).images.astype(int)
        rows, columns = images[0], images[1]
        assert len(np.unique(rows)) == len(np.unique(columns)) == 64
        np.testing.assert_array_equal(images[2] == 7, rows > 48)
        np.testing.assert_array_equal(images[4], rows)


def test_a_still_crop_is_part_of_the_image() -> None:
    sample = cut(ramp(), STILL)
    rows, columns = sample.images[0], sample.images[1]
    assert (np.diff(rows[:, 0].astype(int)) == 1).all() and (np.diff(columns[0].astype(int)) == 1).all()
    assert sample.means == pytest.approx([47.5 / 255, 63.5 / 255])


def test_zoom_is_of_the_asked_range_and_keeps_class_ids() -> None:
    steps = []
    for seed in range(40):
        images = cut(ramp(), AugmentConfig(smallest_scale=0.8, largest_scale=2.0), seed=seed).images
        assert images.shape[1:] == (64, 64) and set(np.unique(images[2])) <= {7, 255}
        steps.append(max(np.ptp(images[0].astype(int)), np.ptp(images[1].astype(int))) / 63)
    # A zoom by 2 shows half of the rows.
    assert min(steps) < 0.6 and 1.1 < max(steps) < 1.35
    # A scale that leaves less than the least size is as small as it may be.
    small = cut(ramp(40, 48), AugmentConfig(smallest_scale=0.1, largest_scale=0.1))
    assert small.images.shape[1:] == (32, 32)


def test_gain_offset_and_polarity_change_sources_and_their_means() -> None:
    random = np.random.default_rng(0)
    planes = np.stack([random.integers(80, 170, (96, 128)).astype(np.uint8)] * 3)
    sample = cut(planes, AugmentConfig(gain=0.3, offset=20, flip=False, rotate=False), wanted=(96, 96))
    for index in range(2):
        assert abs(sample.images[index].mean() / 255 - sample.means[index]) < 0.01
        gain = sample.images[index].std() / planes[index].std()
        assert 0.65 < gain < 1.35 and abs(gain - 1) > 0.01
    np.testing.assert_array_equal(np.unique(sample.images[2]), np.unique(planes[2]))
    turned = cut(planes, AugmentConfig(polarity=1.0, flip=False, rotate=False), wanted=(96, 96), seed=3)
    plain = cut(planes, STILL, wanted=(96, 96), seed=3)
    np.testing.assert_array_equal(turned.images[0], 255 - plain.images[0])
    np.testing.assert_array_equal(turned.images[1], plain.images[1])
    assert turned.means[0] == pytest.approx(1 - plain.means[0])


def test_a_hot_object_is_all_that_a_crop_of_thermal_gains() -> None:
    planes, shares = ramp(), []
    for seed in range(12):
        plain = cut(planes, STILL, seed=seed)
        sample = cut(planes, AugmentConfig(hot=1.0, flip=False, rotate=False), seed=seed)
        hot = sample.images[0] != plain.images[0]
        assert len(set(sample.images[0][hot])) == 1 and sample.images[0][hot][0] >= 200
        np.testing.assert_array_equal(sample.images[1:], plain.images[1:])
        # What is far away has no reason to change: the level of the whole image is what it was.
        np.testing.assert_array_equal(sample.means, plain.means)
        shares.append(hot.mean())
    assert 0 < min(shares) < 0.1 and 0.25 < max(shares) < 0.7
    with pytest.raises(ConfigError, match="hot change what the teacher saw"):
        config(teacher="mst", augment=AugmentConfig(hot=0.1))


def smooth(planes: int = 6) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (planes, 96, 128), np.uint8)
    return np.stack([cv2.GaussianBlur(plane, (0, 0), 2) for plane in noise])


@pytest.mark.parametrize("worse", [{"noise": 20.0}, {"blur": 3.0}, {"coarse": 1.0}, {"jpeg": 1.0}])
def test_worse_images_are_for_the_network_only(worse) -> None:
    plain, sample = cut(smooth(), STILL, seed=1), cut(smooth(), replace(STILL, **worse), seed=1)
    np.testing.assert_array_equal(sample.images, plain.images)
    assert sample.seen.shape == (4, 64, 64)
    errors = np.abs(sample.seen.astype(int) - sample.images[[0, 1, 4, 5]]).mean((1, 2))
    assert errors[0] > 0 and errors[2] > 0 and errors.max() < 30
    if "coarse" in worse:
        assert len(np.unique(sample.seen[0])) < len(np.unique(plain.images[0]))
    if "blur" in worse:
        assert sample.seen[0].std() < plain.images[0].std()
    if "noise" in worse:
        assert abs((sample.seen[0].astype(int) - plain.images[0]).mean()) < 1


def test_where_thermal_is_missing_everything_asks_for_the_visible_image() -> None:
    planes = np.maximum(smooth(), 1)
    bands = set()
    for seed in range(30):
        sample = cut(planes, AugmentConfig(border=1.0, flip=False, rotate=False), seed=seed)
        missing = sample.seen[0] == 0
        np.testing.assert_array_equal(missing, sample.seen[2] == 0)
        np.testing.assert_array_equal(sample.images[0][missing], sample.images[1][missing])
        np.testing.assert_array_equal(sample.images[3][missing], sample.images[1][missing])
        np.testing.assert_array_equal(sample.images[4][missing], sample.images[5][missing])
        assert (sample.images[2][missing] == 255).all()
        assert (sample.images[0] != sample.images[1])[~missing].any()
        sides = (missing[0].all(), missing[-1].all(), missing[:, 0].all(), missing[:, -1].all())
        assert missing.mean() <= 0.5 and sum(sides) <= 1
        bands.add(sides)
    assert len(bands) == 5  # each side, and now and then hardly anything


def test_a_teacher_saw_the_images_as_they_were() -> None:
    with pytest.raises(ConfigError, match="change what the teacher saw"):
        config(teacher="mst", augment=AugmentConfig(gain=0.1))
    with pytest.raises(ConfigError, match=r"smallest_scale is 2.0, must not be above"):
        AugmentConfig(smallest_scale=2.0)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_prefetched_items_come_in_order_and_errors_in_their_place(workers: int) -> None:
    names = set()

    def make(number: int) -> int:
        names.add(threading.current_thread().name)
        if number == 8:
            raise DataError("eight")
        return number**2

    found = []
    with pytest.raises(DataError, match="eight"), Prefetch(make, 3, 20, workers) as items:
        found.extend(items)
    assert found == [9, 16, 25, 36, 49]
    assert (threading.current_thread().name in names) == (workers == 0)
    with Prefetch(make, 0, 3, workers) as items:
        assert list(items) == [0, 1, 4]
