"""A matcher in the background of online refinement: followed where the images agree, never waited for."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np
import pytest
from cross_modal_samples import mean_error_px, scene, similarity

from ivfusion_ros.config.pipeline import RefinementConfig
from ivfusion_ros.errors import ConfigError, ModelError
from ivfusion_ros.registration.online.background import Background
from ivfusion_ros.registration.online.refine import OnlineRefinement, Refinement
from ivfusion_ros.types import Floats

if TYPE_CHECKING:
    from collections.abc import Callable

    from ivfusion_ros.types import Image

SIZE = (480, 360)
RATE_HZ = 10.0
THERMAL, VISIBLE = scene(3, *SIZE)
NOISE = np.random.default_rng(0).normal(0, 4, (7, *THERMAL.shape)).astype(np.float32)

FAR = similarity(1.03, 4.0, (34.0, -21.0), SIZE)
"""Further than the refinement's own search reaches, and turned."""


Answer: TypeAlias = "Callable[[int, Floats], Floats | None]"
"""Of the number of the question, and the truth."""


@dataclass
class Answers:
    """A matcher that knows the truth: what the image that it is shown must still move by."""

    answer: Answer
    truths: dict[bytes, Floats] = field(default_factory=dict)
    """by the image"""
    asked: int = 0
    closed: bool = False

    def __call__(self, warped: Image, reference: Image) -> Floats | None:
        assert warped.shape == reference.shape and warped.ndim == 2
        self.asked += 1
        return self.answer(self.asked, self.truths[warped.tobytes()])

    def close(self) -> None:
        self.closed = True


def noisy(image: Image, index: int) -> Image:
    """With noise that comes again only after some frames."""
    return np.asarray(cv2.add(image, NOISE[index % len(NOISE)], dtype=cv2.CV_8U), np.uint8)


def play(
    matching: Answers | None,
    seconds: float,
    off: Callable[[float], Floats],
    *,
    model: str = "affine",
    awaited: bool = True,
) -> tuple[list[Refinement], list[float]]:
    """What comes out of each pair, and how far off it was in the mean, px."""
    config = RefinementConfig(model=model, max_px=90.0)
    refinement = OnlineRefinement(config, matching, awaited=awaited)
    results, errors = [], []
    for index in range(round(seconds * RATE_HZ)):
        correction = np.eye(3) if refinement.correction is None else refinement.correction
        matrix = correction @ off(index / RATE_HZ)
        warped = np.asarray(cv2.warpPerspective(noisy(THERMAL, index), matrix, SIZE), np.uint8)
        valid = np.asarray(cv2.warpPerspective(np.full(SIZE[::-1], 255, np.uint8), matrix, SIZE), np.uint8)
        errors.append(mean_error_px(matrix, np.eye(3), SIZE))
        if matching is not None:
            matching.truths[warped.tobytes()] = np.linalg.inv(matrix)
        stamp_ns = 10**18 + round(index / RATE_HZ * 1e9)
        results.append(refinement.update(warped, noisy(VISIBLE, index + 3), stamp_ns, valid=valid))
    refinement.close()
    return results, errors


def bumped(time_s: float) -> Floats:
    return FAR if time_s >= 1.0 else np.eye(3)


def test_a_place_that_only_the_matcher_finds_is_followed_at_once() -> None:
    alone, errors = play(None, 6.0, bumped)
    assert min(errors[11:]) > 20 and "bumped" not in [one.status for one in alone]
    matcher = Answers(lambda number, truth: truth)
    results, errors = play(matcher, 6.0, bumped)
    assert [one.status for one in results].count("bumped") == 1
    assert max(errors[-10:]) < 1.0
    assert results[-1].status == "tracking" and results[-1].drift_px == pytest.approx(45, abs=6)
    assert matcher.closed


def test_it_is_asked_where_the_refinement_has_found_a_shift_alone() -> None:
    def turned(time_s: float) -> Floats:
        return similarity(1.0, 3.0, (16.0, -12.0), SIZE) if time_s >= 1.0 else np.eye(3)

    alone, errors = play(None, 6.0, turned)
    assert alone[-1].status == "tracking" and errors[-1] > 3
    _, errors = play(Answers(lambda number, truth: truth), 6.0, turned)
    assert max(errors[-10:]) < 1.0


def test_a_model_follows_what_it_can_of_the_matcher_s_motion() -> None:
    matcher = Answers(lambda number, truth: truth)
    results, _ = play(matcher, 6.0, lambda t: similarity(1.0, 1.0, (40.0, 10.0), SIZE), model="shift")
    assert "bumped" in [one.status for one in results]
    np.testing.assert_allclose(results[-1].correction[:2, :2], np.eye(2), atol=1e-6)
    np.testing.assert_allclose(results[-1].correction[:2, 2], (-40.0, -10.0), atol=1.5)


def test_it_is_not_asked_while_the_refinement_knows_its_place() -> None:
    matcher = Answers(lambda number, truth: similarity(1.0, 0.0, (40.0, 0.0), SIZE))
    results, errors = play(matcher, 4.0, lambda t: np.eye(3))
    assert results[-1].status == "tracking" and max(errors) < 0.5
    assert matcher.asked == 0


def test_places_where_the_edges_do_not_agree_are_not_followed() -> None:
    wrong = Answers(lambda number, truth: similarity(1.0, 0.0, (30.0, -20.0), SIZE) @ truth)
    results, _ = play(wrong, 6.0, bumped)
    assert wrong.asked >= 3
    assert "bumped" not in [one.status for one in results]
    assert all(one.drift_px < 3 for one in results)


def test_one_answer_alone_is_not_followed() -> None:
    once = Answers(lambda number, truth: truth if number % 2 else None)
    results, _ = play(once, 7.0, bumped)
    assert once.asked >= 4
    assert "bumped" not in [one.status for one in results]


def test_results_do_not_depend_on_how_long_it_takes() -> None:
    pause = threading.Event()

    def slowly(number: int, truth: Floats) -> Floats:
        pause.wait(0.05)
        return truth

    slow, quick = (
        play(Answers(slowly), 5.0, bumped),
        play(Answers(lambda number, truth: truth), 5.0, bumped),
    )
    assert "bumped" in [one.status for one in quick[0]]
    for one, other in zip(slow[0], quick[0], strict=True):
        np.testing.assert_array_equal(one.correction, other.correction)
        assert one.status == other.status


def test_no_live_pair_waits_for_it() -> None:
    given = threading.Event()

    def stuck(number: int, truth: Floats) -> Floats:
        assert given.wait(60)
        return truth

    matcher = Answers(stuck)
    config = RefinementConfig(model="affine", max_px=90.0)
    refinement = OnlineRefinement(config, matcher, awaited=False)
    for index in range(50):
        warped = np.asarray(cv2.warpPerspective(noisy(THERMAL, index), FAR, SIZE), np.uint8)
        matcher.truths[warped.tobytes()] = np.eye(3)
        found = refinement.update(warped, noisy(VISIBLE, index + 3), 10**18 + index * 100_000_000)
        assert found.drift_px < 3
    assert not given.is_set() and matcher.asked == 1
    given.set()
    refinement.close()


def test_a_matcher_that_fails_is_not_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    def fails(number: int, truth: Floats) -> Floats:
        raise ModelError("matcher odd.onnx gave matches that are not finite")

    matcher = Answers(fails)
    results, _ = play(matcher, 6.0, bumped)
    assert matcher.asked == 1 and results[-1].status == "unsure"
    assert caplog.text.count("odd.onnx gave matches that are not finite; the matcher is not asked") == 1


def test_a_matcher_that_nothing_would_ask_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"refine\.model is off"):
        RefinementConfig(matcher="matcher.onnx")


def test_a_result_counts_once_and_from_its_stamp_on() -> None:
    background = Background[int](awaited=True)
    assert background.free and background.take(0) == ()
    background.begin(lambda: 7, 100)
    assert not background.free
    assert background.take(99) == ()
    assert background.take(100) == (7,)
    assert background.take(101) == () and background.free


def test_a_job_that_was_given_up_ends_before_the_next_one_begins() -> None:
    going, order = threading.Event(), []

    def first() -> int:
        assert going.wait(60)
        order.append("first")
        return 1

    def second() -> int:
        order.append("second")
        return 2

    awaited = Background[int](awaited=True)
    awaited.begin(first, 0)
    awaited.forget()
    assert awaited.free
    awaited.begin(second, 0)
    going.set()
    assert awaited.take(0) == (2,)
    assert order == ["first", "second"]


def test_live_it_takes_no_job_while_one_is_in_work() -> None:
    going = threading.Event()
    live = Background[bool](awaited=False)
    live.begin(lambda: going.wait(60), 0)
    assert live.take(1) == ()
    live.forget()
    assert not live.free
    going.set()
    live.close()
    assert live.free and live.take(2) == ()


def test_what_a_job_raises_is_raised_where_its_result_counts() -> None:
    background = Background[float](awaited=True)
    background.begin(lambda: 1 / 0, 5)
    assert background.take(4) == ()
    with pytest.raises(ZeroDivisionError):
        background.take(5)
    assert background.free
