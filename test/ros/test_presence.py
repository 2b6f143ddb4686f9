"""How a node knows that it did not run; needs no ROS."""

import pytest

from ivfusion_ros.ros.presence import PERIOD_S, Presence
from ivfusion_ros.ros.streams import SilenceWatch

S = 1_000_000_000
LIMIT_NS = S


class Case:
    """A presence whose clock a test holds."""

    def __init__(self) -> None:
        self.now_s = 50.0
        self.absences: list[float] = []
        self.presence = Presence(self.absences.append, lambda: self.now_s)
        self.now_s += 100.0
        self.presence.begin()

    def run(self, seconds: float) -> None:
        """Look as the node's timer does."""
        for _ in range(round(seconds / PERIOD_S)):
            self.now_s += PERIOD_S
            self.presence.look()


def test_only_a_look_that_comes_late_is_an_absence() -> None:
    case = Case()
    case.run(3.0)
    case.now_s += 0.25
    case.presence.look()
    assert case.absences == [] and case.presence.absent_s(5.0) == 0.0
    case.now_s += 1.5
    case.presence.look()
    assert case.absences == [pytest.approx(1.5 - PERIOD_S)]
    assert case.presence.returned_s == case.now_s


def test_absences_are_told_by_their_share_of_the_last_seconds() -> None:
    case = Case()
    for _ in range(2):
        case.now_s += 1.0 + PERIOD_S
        case.presence.look()
        case.run(0.4)
    assert case.presence.absent_s(5.0) == pytest.approx(2.0)
    case.run(2.6)
    # Of the first one, 0.4 s lie in the last 5 s.
    assert case.presence.absent_s(5.0) == pytest.approx(1.0 + 0.4)
    case.run(5.0)
    assert case.presence.absent_s(5.0) == 0.0


@pytest.mark.parametrize(("heard", "lost"), [("thermal", "rgb"), ("rgb", "thermal")])
def test_what_came_of_one_camera_alone_in_an_absence_is_no_silence(heard: str, lost: str) -> None:
    """Its small images waited in the socket, the other one's large ones found no place there."""
    watch = SilenceWatch()
    for stamp_ns in range(0, S, S // 30):
        watch.arrived("rgb", stamp_ns, LIMIT_NS)
        watch.arrived("thermal", stamp_ns, LIMIT_NS)
    watch.excuse(2 * S)
    backlog = [watch.arrived(heard, stamp_ns, LIMIT_NS) for stamp_ns in range(S, 3 * S, S // 30)]
    assert set(backlog) == {None}
    assert watch.arrived(lost, 3 * S, LIMIT_NS) is None
    # A camera that stays silent is found out as late as without the absence.
    later = [watch.arrived(heard, stamp_ns, LIMIT_NS) for stamp_ns in range(3 * S, 6 * S, S // 30)]
    assert later.index(lost) == pytest.approx(31, abs=2)
