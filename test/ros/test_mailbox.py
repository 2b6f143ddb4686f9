"""The mailbox between the callbacks and the worker."""

import threading

import numpy as np
import rig_samples

from ivfusion_ros.ros.mailbox import Mailbox
from ivfusion_ros.ros.streams import Job
from ivfusion_ros.types import Frame


def job(stamp_ns: int) -> Job:
    return Job(Frame(np.zeros((2, 2), np.uint8), stamp_ns), None)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_burst_is_taken_whole_and_in_order() -> None:
    clock = Clock()
    mailbox, jobs = Mailbox(clock), [job(index) for index in range(10)]
    for _ in range(2):
        for item in jobs:
            mailbox.put(item)
        clock.now_s += 0.3
        assert [mailbox.take() for _ in jobs] == jobs
    assert mailbox.superseded == 0


def test_where_many_wait_the_newest_is_taken_and_the_others_are_counted() -> None:
    mailbox, jobs = Mailbox(Clock()), [job(index) for index in range(11)]
    for item in jobs:
        mailbox.put(item)
    assert mailbox.take() is jobs[-1] and mailbox.superseded == 10


def test_where_one_has_waited_for_long_the_newest_is_taken() -> None:
    clock = Clock()
    mailbox, jobs = Mailbox(clock), [job(index) for index in range(3)]
    for clock.now_s, item in zip((0.0, 0.29, 0.31), jobs, strict=True):
        mailbox.put(item)
    assert mailbox.take() is jobs[-1] and mailbox.superseded == 2


def test_who_is_too_slow_gets_the_newest_alone_until_none_was_left_out_for_ten_seconds() -> None:
    clock = Clock()
    mailbox, jobs = Mailbox(clock), [job(index) for index in range(6)]
    for clock.now_s in (0.0, 0.4):
        mailbox.put(jobs[0])
    mailbox.take()
    for clock.now_s in (9.0, 18.0):
        mailbox.put(jobs[4])
        mailbox.put(jobs[5])
        assert mailbox.take() is jobs[5]
    assert mailbox.superseded == 1 + 2
    clock.now_s = 28.0
    mailbox.put(jobs[4])
    mailbox.put(jobs[5])
    assert [mailbox.take(), mailbox.take()] == jobs[4:] and mailbox.superseded == 3


def test_who_waits_gets_the_job_that_comes_and_none_at_the_end() -> None:
    mailbox, taken = Mailbox(), []
    first_taken = threading.Event()

    def take() -> None:
        taken.append(mailbox.take())
        first_taken.set()
        taken.append(mailbox.take())

    thread = threading.Thread(target=take)
    thread.start()
    only = job(0)
    mailbox.put(only)
    assert first_taken.wait(10)
    mailbox.close()
    thread.join(10)
    assert not thread.is_alive() and taken == [only, None]


def test_a_closed_mailbox_drops_what_waits() -> None:
    mailbox = Mailbox()
    mailbox.put(job(0))
    mailbox.close()
    assert mailbox.take() is None
    # A camera goes on, while the thread that took them may be at its last job.
    mailbox.put(job(1))
    assert mailbox.take() is None


def test_a_restart_drops_what_waits_and_is_told_once() -> None:
    mailbox, new = Mailbox(), job(1)
    assert not mailbox.take_restart()
    mailbox.put(job(0))
    mailbox.restart()
    mailbox.put(new)
    assert mailbox.take() is new and mailbox.superseded == 0
    assert mailbox.take_restart() and not mailbox.take_restart()


def test_extrinsics_are_handed_on_once_and_the_newest() -> None:
    mailbox, pose = Mailbox(), rig_samples.side_by_side()
    assert mailbox.take_extrinsics() is None
    mailbox.set_extrinsics(rig_samples.side_by_side())
    mailbox.set_extrinsics(pose)
    assert mailbox.take_extrinsics() is pose and mailbox.take_extrinsics() is None
