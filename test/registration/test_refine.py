"""Online refinement: a drawn scene, seen by two cameras that share edges but not brightness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivfusion_ros.errors import ConfigError, ImageError
from ivfusion_ros.geometry.accept import accept_correction
from ivfusion_ros.geometry.calibration import Calibration, Remap
from ivfusion_ros.geometry.camera import CameraModel
from ivfusion_ros.geometry.maps import displacements_at
from ivfusion_ros.geometry.rig import Extrinsics, Rig, RigParts
from ivfusion_ros.registration.online.cells import cell_centres, compared_rows, measure_cells
from ivfusion_ros.registration.online.edges import edge_structure
from ivfusion_ros.registration.online.field import image_corners, matrix_from_corners
from ivfusion_ros.registration.online.refine import OnlineRefinement, Refinement, RefinementConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ivfusion_ros.types import Floats, Image


SIZE = (480, 360)
RATE_HZ = 12.0
START_NS = 1_700_000_000_000_000_000
GRID = np.stack(np.meshgrid(np.arange(10.0, 480, 20), np.arange(10.0, 360, 20)), -1).reshape(-1, 2)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads that wait for busy cores cost more than these images."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(threads)


def draw(seed: int) -> tuple[Image, Image]:
    """(thermal, reference): the same polygons, in levels that have nothing to do with each other."""
    rng = np.random.default_rng(seed)
    images = [np.full(SIZE[::-1], level, np.uint8) for level in (90, 140)]
    for _ in range(45):
        centre, radius = rng.uniform((0, 0), SIZE), rng.uniform(12, 60)
        angles = np.sort(rng.uniform(0, 2 * np.pi, 5))
        outline = centre + radius * np.stack([np.cos(angles), np.sin(angles)], 1)
        for image in images:
            cv2.fillPoly(image, [np.round(outline).astype(np.int32)], int(rng.integers(20, 235)))
    return cv2.GaussianBlur(images[0], (0, 0), 1.5), cv2.GaussianBlur(images[1], (0, 0), 0.7)


THERMAL, REFERENCE = draw(1)
NOISE = np.random.default_rng(0).normal(0, 1, (7, *THERMAL.shape)).astype(np.float32)


def shifted(x: float, y: float) -> Floats:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def noisy(image: Image, index: int, sigma: float = 3.0) -> Image:
    """With noise that comes again only after some frames."""
    return np.asarray(cv2.add(image, NOISE[index % len(NOISE)] * sigma, dtype=cv2.CV_8U), np.uint8)


@dataclass
class Step:
    time_s: float
    result: Refinement
    error_px: float
    """mean over the image, with the correction before this step"""


def play(
    refinement: OnlineRefinement,
    seconds: float,
    off: Callable[[float], Floats] = lambda time_s: np.eye(3),
    thermal: Image = THERMAL,
    reference: Image = REFERENCE,
    start_s: float = 0.0,
) -> Iterator[Step]:
    """Show a thermal image that is off by a 3x3, with the correction so far."""
    for index in range(round(seconds * RATE_HZ)):
        time_s = start_s + index / RATE_HZ
        correction = np.eye(3) if refinement.correction is None else refinement.correction
        matrix = correction @ off(time_s)
        warped = cv2.warpPerspective(noisy(thermal, index), matrix, SIZE, borderMode=cv2.BORDER_REPLICATE)
        valid = cv2.warpPerspective(np.full(SIZE[::-1], 255, np.uint8), matrix, SIZE)
        error = np.hypot(*displacements_at(GRID, matrix).T).mean()
        result = refinement.update(
            warped, noisy(reference, index + 2), START_NS + round(time_s * 1e9), valid=valid
        )
        yield Step(time_s, result, float(error))


def refinement_of(model: str, **changes: float) -> OnlineRefinement:
    return OnlineRefinement(RefinementConfig(model=model, **changes))


def corner_path(steps: list[Step]) -> Floats:
    return np.stack([displacements_at(image_corners(SIZE), step.result.correction) for step in steps])


def test_structure_does_not_see_which_side_is_bright() -> None:
    assert np.allclose(edge_structure(THERMAL), edge_structure(255 - THERMAL), atol=1e-4)


@pytest.mark.parametrize("first", [0, 1])
def test_moments_are_sums_of_the_structure_times_sobel_s_derivatives(first: int) -> None:
    height, width = 95, 80
    moving = edge_structure(np.ascontiguousarray(THERMAL[:height, :width]))
    every_row = edge_structure(np.ascontiguousarray(REFERENCE[:height, :width]))
    every_row[:, :4] = every_row[:, -4:] = every_row[:, :, :4] = every_row[:, :, -4:] = 0
    found = measure_cells(every_row[:, compared_rows(first)], moving, first)
    assert len(found.likeness) == len(cell_centres((width, height))) == 25
    soft = [cv2.GaussianBlur(plane, (5, 5), 1.0) for plane in moving]

    def of_cells(right: int, down: int, scale: float) -> Floats:
        products = sum(
            still.astype(np.float64) * cv2.Sobel(plane, cv2.CV_64F, right, down, scale=scale)
            if right or down
            else still.astype(np.float64) * plane
            for still, plane in zip(every_row, soft, strict=True)
        )
        blocks = products[:80].reshape(5, 16, 5, 16)[:, first::2]
        return np.asarray(blocks.sum(axis=(1, 3)).ravel() / 128)

    near = {"abs": 1e-6, "rel": 1e-4}
    assert found.likeness == pytest.approx(of_cells(0, 0, 1), **near)
    assert found.pull[:, 0] == pytest.approx(-of_cells(1, 0, 1 / 8), **near)
    assert found.pull[:, 1] == pytest.approx(-of_cells(0, 1, 1 / 8), **near)
    assert found.stiffness[:, 0, 0] == pytest.approx(-of_cells(2, 0, 1 / 4), **near)
    assert found.stiffness[:, 0, 1] == pytest.approx(-of_cells(1, 1, 1 / 4), **near)
    assert found.stiffness[:, 1, 1] == pytest.approx(-of_cells(0, 2, 1 / 4), **near)


def test_follows_a_drift_of_one_pixel_per_second() -> None:
    steps = list(play(refinement_of("shift"), 10.0, lambda t: shifted(0.8 * t, -0.6 * t)))
    errors = [step.error_px for step in steps if step.time_s > 4]
    assert max(errors) < 2.0
    last = steps[-1].result
    assert last.status == "tracking"
    assert last.confidence > 0.8
    assert last.drift_px == pytest.approx(10.0, abs=2.0)
    assert last.correction[:2, 2] == pytest.approx([-8.0, 6.0], abs=2.0)


@pytest.mark.parametrize("model", ["shift", "affine", "homography"])
def test_leaves_a_correct_calibration_alone(model: str) -> None:
    steps = list(play(refinement_of(model), 4.0))
    assert max(step.error_px for step in steps) < 0.5
    assert steps[-1].result.confidence > 0.5


def test_a_large_error_is_found_and_removed_at_the_allowed_rate() -> None:
    refinement = refinement_of("shift", max_rate_px_s=3.0)
    steps = list(play(refinement, 6.0, lambda t: shifted(9.0, -7.0)))
    assert any(step.result.status == "searching" for step in steps)
    assert steps[-1].error_px < 0.8
    moves = np.linalg.norm(np.diff(corner_path(steps), axis=0), axis=2).max(axis=1)
    assert moves.max() > 0
    path = np.linalg.norm(corner_path(steps) - corner_path(steps)[0], axis=2).max(axis=1)
    assert all(length <= 3.0 * step.time_s + 1e-6 for length, step in zip(path, steps, strict=True))
    # A step is what was saved up below the threshold of publishing, and one frame's share.
    assert moves.max() <= 3.0 / RATE_HZ + 0.1


def test_a_bumped_camera_is_followed_at_once_and_said_so() -> None:
    refinement = refinement_of("shift")
    steps = list(play(refinement, 7.0, lambda t: shifted(16.0, -12.0) if t >= 1.5 else np.eye(3)))
    assert [step.result.status for step in steps].count("bumped") == 1
    assert max(step.error_px for step in steps if step.time_s > 6.0) < 0.8
    assert max(step.error_px for step in steps if 1.5 <= step.time_s < 2.5) > 15


def test_what_lies_aside_for_a_moment_is_no_bump() -> None:
    steps = list(
        play(refinement_of("shift"), 6.0, lambda t: shifted(16.0, 0.0) if 2.0 < t < 2.8 else np.eye(3))
    )
    assert "bumped" not in [step.result.status for step in steps]
    assert steps[-1].error_px < 0.5


def test_affine_removes_a_rotation_that_a_shift_cannot() -> None:
    turn = np.vstack([cv2.getRotationMatrix2D((239.5, 179.5), 0.6, 1.0), [0, 0, 1]])
    errors = {
        model: list(play(refinement_of(model), 4.0, lambda t: turn))[-1].error_px
        for model in ("shift", "affine")
    }
    assert errors["shift"] > 1.2
    assert errors["affine"] < 0.4


def test_correction_ends_at_its_limit() -> None:
    steps = list(
        play(refinement_of("shift", max_px=3.0, max_rate_px_s=4.0), 4.0, lambda t: shifted(7.0, 0.0))
    )
    assert np.abs(corner_path(steps)).max() == pytest.approx(3.0, abs=0.25)


def test_a_repeated_image_changes_nothing() -> None:
    refinement = refinement_of("shift")
    off = shifted(4.0, 0.0)
    before = list(play(refinement, 1.5, lambda t: off))[-1].result
    assert before.drift_px > 0
    warped = cv2.warpPerspective(THERMAL, refinement.correction @ off, SIZE)
    refinement.update(warped, noisy(REFERENCE, 0), START_NS + 1_600_000_000)
    corrected = refinement.correction
    for index in range(1, 12):
        stamp = START_NS + 1_600_000_000 + index * 80_000_000
        result = refinement.update(warped, noisy(REFERENCE, index), stamp)
        assert result.status == "frozen"
        assert refinement.correction is corrected


def test_a_frame_said_to_be_frozen_changes_nothing() -> None:
    refinement = refinement_of("shift")
    for index in range(30):
        off = np.roll(noisy(THERMAL, index), 4, axis=1)
        result = refinement.update(off, noisy(REFERENCE, index), START_NS + index * 80_000_000, frozen=True)
        assert result.status == "frozen"
    assert refinement.correction is None


@pytest.mark.parametrize("sigma", [0.0, 3.0, 20.0])
def test_nothing_is_learned_from_an_image_without_edges(sigma: float) -> None:
    refinement = refinement_of("shift")
    flat = np.full_like(THERMAL, 128)
    for index in range(30):
        thermal = noisy(flat, index, sigma) if sigma else flat + np.uint8(index % 2)
        result = refinement.update(thermal, noisy(REFERENCE, index + 3), START_NS + index * 80_000_000)
        assert result.confidence < 0.3
        assert result.status != "tracking"
    assert refinement.correction is None
    assert sigma or result.status == "empty"


def test_nothing_is_learned_from_another_scene() -> None:
    refinement = refinement_of("affine")
    steps = list(play(refinement, 3.0, thermal=draw(7)[0]))
    assert max(step.result.confidence for step in steps) < 0.5
    assert refinement.correction is None


def test_the_correction_stays_while_the_scene_is_gone() -> None:
    refinement = refinement_of("shift")
    learned = list(play(refinement, 3.0, lambda t: shifted(3.0, 2.0)))[-1].result
    blank = np.zeros_like(THERMAL)
    for index in range(20):
        stamp = START_NS + 3_000_000_000 + index * 80_000_000
        result = refinement.update(blank + np.uint8(index % 2), noisy(REFERENCE, index), stamp)
    assert result.status == "empty"
    assert np.array_equal(result.correction, learned.correction)
    assert learned.drift_px == pytest.approx(np.hypot(3.0, 2.0), abs=0.5)


def test_a_jump_back_in_time_starts_anew_and_a_gap_does_not_jump() -> None:
    refinement = refinement_of("shift")
    learned = list(play(refinement, 3.0, lambda t: shifted(3.0, 0.0)))[-1].result
    after_gap = next(iter(play(refinement, 0.1, lambda t: shifted(9.0, 0.0), start_s=60.0))).result
    assert abs(after_gap.drift_px - learned.drift_px) <= 2.0 * 0.2 + 0.1
    restarted = next(iter(play(refinement, 0.1))).result
    assert restarted.status == "settling"
    assert restarted.drift_px == 0.0
    assert refinement.correction is None


def test_a_near_object_that_moves_does_not_drag_the_correction() -> None:
    refinement = refinement_of("shift")
    near = draw(3)
    for index in range(48):
        thermal, reference = noisy(THERMAL, index), noisy(REFERENCE, index + 1)
        left = 20 + 4 * index
        # Parallax of 7 px on a ninth of the image, over all of its edges.
        reference[100:280, left : left + 110] = near[1][100:280, 100:210]
        thermal[100:280, left + 7 : left + 117] = near[0][100:280, 100:210]
        refinement.update(thermal, reference, START_NS + index * 80_000_000)
    moved = np.zeros(2) if refinement.correction is None else refinement.correction[:2, 2]
    assert np.hypot(*moved) < 0.5


def test_the_border_of_the_thermal_view_is_no_edge() -> None:
    valid = np.zeros_like(THERMAL)
    valid[60:300, 80:400] = 255
    refinement = refinement_of("shift")
    reference = REFERENCE.copy()
    # An edge 3 px beside the thermal border: taking the border for a content would follow it.
    reference[57:303, 76:78] = 0
    for index in range(36):
        thermal = np.where(valid, noisy(THERMAL, index), 0).astype(np.uint8)
        result = refinement.update(
            thermal, noisy(reference, index + 1), START_NS + index * 80_000_000, valid=valid
        )
    assert result.drift_px < 0.5
    assert result.status == "tracking"


def test_reference_may_be_colour_and_a_new_size_starts_anew() -> None:
    refinement = refinement_of("shift")
    colour = cv2.cvtColor(REFERENCE, cv2.COLOR_GRAY2RGB)
    assert refinement.update(THERMAL, colour, START_NS).status == "settling"
    half = (SIZE[0] // 2, SIZE[1] // 2)
    small = [cv2.resize(image, half) for image in (THERMAL, REFERENCE)]
    assert refinement.update(small[0], small[1], START_NS + 1).correction.shape == (3, 3)


def test_images_that_do_not_fit_are_refused() -> None:
    refinement = refinement_of("shift")
    with pytest.raises(ImageError, match="warped"):
        refinement.update(THERMAL[:-2], REFERENCE, START_NS)
    with pytest.raises(ImageError, match="uint8"):
        refinement.update(THERMAL.astype(np.uint16), REFERENCE, START_NS)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="64"):
        refinement.update(THERMAL[:30, :30], REFERENCE[:30, :30], START_NS)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-20, 20), min_size=8, max_size=8))
def test_matrix_moves_the_corners_as_asked(values: list[float]) -> None:
    wanted = np.array(values).reshape(4, 2)
    matrix = matrix_from_corners(SIZE, wanted)
    sources = image_corners(SIZE) - wanted
    moved = cv2.perspectiveTransform(sources[None], matrix)[0]
    assert moved == pytest.approx(image_corners(SIZE), abs=1e-6)
    assert displacements_at(image_corners(SIZE), matrix) == pytest.approx(wanted, abs=1e-6)


# What a correction becomes in the calibration: oracle is "first the old one, then the correction".

CORRECTION = matrix_from_corners(SIZE, np.array([[6.0, -3.0], [5.0, -2.0], [6.5, -3.5], [5.5, -2.5]]))
PLANAR = np.array([[0.9, 0.02, 20.0], [-0.01, 0.92, 8.0], [1e-5, -2e-5, 1.0]])


def through(matrix: Floats, points: Floats) -> Floats:
    return np.asarray(cv2.perspectiveTransform(points[None], matrix)[0])


def test_accepted_homography_in_the_rgb_view() -> None:
    accepted = accept_correction(Calibration((500, 400), SIZE, PLANAR), CORRECTION, SIZE)
    assert accepted.rgb_from_thermal is not None
    wanted = through(CORRECTION, through(PLANAR, GRID))
    assert through(accepted.rgb_from_thermal, GRID) == pytest.approx(wanted, abs=1e-6)
    assert accepted.quality["accepted_correction_px"] == pytest.approx(6.4, abs=0.3)


def test_accepted_homography_in_the_thermal_view() -> None:
    accepted = accept_correction(Calibration(SIZE, (500, 400), PLANAR), CORRECTION, SIZE, "thermal")
    assert accepted.rgb_from_thermal is not None
    wanted = through(CORRECTION, through(np.linalg.inv(PLANAR), GRID))
    assert through(np.linalg.inv(accepted.rgb_from_thermal), GRID) == pytest.approx(wanted, abs=1e-6)


def test_accepted_correction_may_come_from_images_of_another_size() -> None:
    calibration = Calibration((500, 400), SIZE, np.eye(3))
    accepted = accept_correction(calibration, shifted(4.0, -2.0), (2 * SIZE[0], 2 * SIZE[1]))
    assert accepted.rgb_from_thermal is not None
    assert through(accepted.rgb_from_thermal, GRID) - GRID == pytest.approx(
        np.tile([2.0, -1.0], (len(GRID), 1)), abs=1e-9
    )


@pytest.mark.parametrize("reference", ["rgb", "thermal"])
def test_accepted_remap(reference: str) -> None:
    x, y = np.meshgrid(np.arange(SIZE[0], dtype=np.float32), np.arange(SIZE[1], dtype=np.float32))
    remap = Remap(0.9 * x + 5 + np.float32(2e-5) * x * y, 0.95 * y + 8)
    remap.map_x[:20], remap.map_y[:20] = -1, -1
    calibration = Calibration(SIZE, SIZE, remap=remap)
    accepted = accept_correction(calibration, CORRECTION, SIZE, reference).remap  # type: ignore[arg-type]
    assert accepted is not None
    points = GRID[(GRID[:, 1] > 40) & (GRID[:, 0] > 20) & (GRID[:, 1] < 340)]
    if reference == "rgb":
        u, v = through(np.linalg.inv(CORRECTION), points).T
        wanted = np.stack([0.9 * u + 5 + 2e-5 * u * v, 0.95 * v + 8], axis=1)
    else:
        u, v = points.T
        wanted = through(CORRECTION, np.stack([0.9 * u + 5 + 2e-5 * u * v, 0.95 * v + 8], axis=1))
    rows, columns = points[:, 1].astype(int), points[:, 0].astype(int)
    found = np.stack([accepted.map_x[rows, columns], accepted.map_y[rows, columns]], axis=1)
    assert found == pytest.approx(wanted, abs=0.02)
    assert (accepted.map_x[:15] == -1).all()


def rig_of(size: tuple[int, int]) -> Rig:
    def camera(focal: float) -> CameraModel:
        matrix = np.array([[focal, 0, size[0] / 2], [0, focal, size[1] / 2], [0, 0, 1]])
        return CameraModel(size, matrix, "plumb_bob", np.array([-0.1, 0.02, 0.0, 0.0, 0.0]))

    return Rig(camera(400.0), camera(430.0), Extrinsics(np.eye(3), np.array([0.08, -0.03, 0.0])))


@pytest.mark.parametrize("reference", ["rgb", "thermal"])
def test_accepted_rig(reference: str) -> None:
    rig = rig_of(SIZE)
    parts = RigParts(rig.thermal, rig.rgb, rig.rgb_from_thermal, 12.0)
    accepted = accept_correction(
        Calibration(SIZE, SIZE, rig=parts),
        shifted(5.0, -3.0),
        SIZE,
        reference,  # type: ignore[arg-type]
    )
    assert accepted.rig is not None
    found = accepted.rig.complete().other_pixels(GRID, 12.0, reference)  # type: ignore[arg-type]
    wanted = rig.other_pixels(GRID - [5.0, -3.0], 12.0, reference)  # type: ignore[arg-type]
    assert np.hypot(*(found - wanted).T).max() < 0.5
    assert accepted.quality["accepted_rms_px"] < 0.2


def test_a_rig_cannot_take_a_shear() -> None:
    rig = rig_of(SIZE)
    parts = RigParts(rig.thermal, rig.rgb, rig.rgb_from_thermal)
    shear = np.array([[1.0, 0.04, -7.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    with pytest.raises(ConfigError, match="px RMS"):
        accept_correction(Calibration(SIZE, SIZE, rig=parts), shear, SIZE)
