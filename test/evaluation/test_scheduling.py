"""What `ivfusion doctor` says of cores, load, niceness and socket buffer, by files of a made-up system."""

import os
from pathlib import Path

import pytest

resource = pytest.importorskip("resource", reason="limits are those of POSIX systems")

from ivfusion_ros.evaluation.speed.scheduling import read_scheduling

NOBODY = "Name:\tpython\nCapEff:\t0000000000000000"
ROOT = "Name:\tpython\nCapEff:\t000001fffeffffff"


@pytest.fixture(autouse=True)
def of_eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(os, "nice", lambda _: 0)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (0, 0))


def found(root: Path, files: dict[str, str]) -> dict[str, str]:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return read_scheduling(root)


def test_a_machine_that_leaves_nothing_to_be_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "nice", lambda _: -10)
    files = {
        "proc/loadavg": "1.70 1.2 0.9 2/300 77",
        "proc/self/status": ROOT,
        "proc/self/cgroup": "0::/robot",
        "sys/fs/cgroup/robot/cpu.max": "max 100000",
        "proc/sys/net/core/rmem_max": "8388608",
        "proc/sys/kernel/sched_autogroup_enabled": "1",
    }
    assert found(tmp_path, files) == {
        "cores": "4 of 8",
        "load": "1.70",
        "niceness": "-10, lowest for this user -20",
        "socket buffer": "8192 KiB at most",
    }


@pytest.mark.parametrize(
    "files",
    [
        {"proc/self/cgroup": "0::/robot", "sys/fs/cgroup/robot/cpu.max": "250000 100000"},
        {"sys/fs/cgroup/cpu.max": "250000 100000"},
        {
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "250000",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
    ],
)
def test_a_containers_limit_says_how_many_threads(tmp_path: Path, files: dict[str, str]) -> None:
    told = found(tmp_path, files)["cores"]
    assert (
        "4 of 8, of whose time this container gets 2.5 cores'" in told and "detection.threads to 2," in told
    )


@pytest.mark.parametrize("quota", ["-1", "400000"])
def test_a_limit_that_limits_nothing_is_not_told(tmp_path: Path, quota: str) -> None:
    old = "sys/fs/cgroup/cpu/cpu.cfs_"
    assert found(tmp_path, {f"{old}quota_us": quota, f"{old}period_us": "100000"})["cores"] == "4 of 8"


def test_a_busy_machine_is_told(tmp_path: Path) -> None:
    assert found(tmp_path, {"proc/loadavg": "2.01 1.0 1.0 3/300 7"})["load"].startswith("2.01 on 4 cores: ")


@pytest.mark.parametrize(
    ("status", "limit", "autogroup", "lowest", "advised"),
    [
        (NOBODY, 0, "0", 0, ["nice -n -10 ros2 launch", "limits.conf has `USER - nice -10`"]),
        (NOBODY, 25, "0", -5, ["limits.conf"]),
        (NOBODY, 35, "0", -15, ["nice -n -10"]),
        (NOBODY, resource.RLIM_INFINITY, "0", -20, []),
        (ROOT, 0, "1", -20, ["within one terminal or service only", "sched_autogroup_enabled=0"]),
    ],
)
def test_how_low_this_user_may_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str, limit: int, autogroup: str, lowest: int,
    advised: list[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    files = {"proc/self/status": status, "proc/sys/kernel/sched_autogroup_enabled": autogroup}
    told = found(tmp_path, files)["niceness"]
    assert told.startswith(f"0, lowest for this user {lowest};")
    assert all(words in told for words in advised)
    assert ("limits.conf" in told) == (lowest > -10) and ("terminal" in told) == (autogroup == "1")


def test_a_small_socket_buffer_is_told_with_the_cure(tmp_path: Path) -> None:
    told = found(tmp_path, {"proc/sys/net/core/rmem_max": "212992"})["socket buffer"]
    assert told.startswith("208 KiB at most: ") and "sysctl -w net.core.rmem_max=8388608" in told
