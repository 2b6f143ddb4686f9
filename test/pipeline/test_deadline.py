"""The deadline's decisions, on made-up times."""

from __future__ import annotations

from ivfusion_ros.config.pipeline import DeadlineConfig
from ivfusion_ros.pipeline.deadline import Deadline


def run(deadline: Deadline, frames: int, others_ms: float, detect_ms: float) -> list[bool]:
    """Let frames of these costs pass; which of them had the detector."""
    detected = []
    for _ in range(frames):
        detects = deadline.detects
        detected.append(detects)
        deadline.update(others_ms + (detect_ms if detects else 0.0), detect_ms if detects else None)
    return detected


def test_off_by_default_every_frame_is_detected_on() -> None:
    deadline = Deadline(DeadlineConfig())
    assert all(run(deadline, 300, 500, 500)) and deadline.stride == 1


def test_within_the_budget_nothing_changes() -> None:
    assert all(run(Deadline(DeadlineConfig(budget_ms=33)), 300, 12, 20))


def test_a_lasting_miss_halves_the_detections_and_the_cost_fits_again() -> None:
    deadline = Deadline(DeadlineConfig(budget_ms=33, patience_s=1))
    detected = run(deadline, 200, 15, 24)
    assert all(detected[:20]), "not before the patience has passed"
    assert deadline.stride == 2 and deadline.cost_ms < 33
    assert detected[-10:] in ([True, False] * 5, [False, True] * 5)


def test_a_far_too_slow_machine_rests_three_of_four_frames_and_no_more() -> None:
    deadline = Deadline(DeadlineConfig(budget_ms=33, patience_s=1))
    detected = run(deadline, 600, 40, 40)
    assert deadline.stride == 4 and sum(detected[-40:]) == 10


def test_a_short_hiccup_changes_nothing() -> None:
    deadline = Deadline(DeadlineConfig(budget_ms=33, patience_s=1))
    run(deadline, 100, 10, 10)
    run(deadline, 3, 100, 100)
    assert all(run(deadline, 100, 10, 10)) and deadline.stride == 1


def test_it_comes_back_when_the_load_has_gone() -> None:
    deadline = Deadline(DeadlineConfig(budget_ms=33, patience_s=1))
    run(deadline, 600, 40, 40)
    run(deadline, 1500, 10, 10)
    assert deadline.stride == 1


def test_near_the_limit_it_does_not_go_back_and_forth() -> None:
    deadline = Deadline(DeadlineConfig(budget_ms=33, patience_s=1))
    run(deadline, 300, 15, 24)
    strides = set()
    for _ in range(1000):
        run(deadline, 1, 15, 17.5)
        strides.add(deadline.stride)
    assert strides == {2}


def test_reset_detects_on_the_next_frame() -> None:
    deadline = Deadline(DeadlineConfig(budget_ms=33, patience_s=1))
    run(deadline, 600, 40, 40)
    while deadline.detects:
        run(deadline, 1, 40, 40)
    deadline.reset()
    assert deadline.detects


def test_a_live_budget_of_zero_ends_it() -> None:
    deadline = Deadline(DeadlineConfig(budget_ms=33, patience_s=1))
    run(deadline, 600, 40, 40)
    deadline.set_config(DeadlineConfig())
    assert all(run(deadline, 100, 40, 40))
