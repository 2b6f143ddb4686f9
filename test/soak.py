"""Long runs with the networks that ship: python test/soak.py [--full] [--minutes N] [PART ...]

replay: a bag of both cameras with gaps and damaged images, by the command. The others need a sourced ROS 2
and are the node with its defaults. usual: 30 pairs a second, counted from its first on. pairs, overload:
fewer than it can take, and twice as many. hostile: 30 pairs a second and between them what no camera should
send, on all topics. A table of memory, ages, cores and accounts follows; the exit status is 1 where memory
or ages rise, or a pair is not accounted for.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from bag_samples import COMPRESSED, START_NS, cdr, header

from ivfusion_ros.bags import BagTopic, BagWriter
from ivfusion_ros.config import FaultConfig
from ivfusion_ros.simulate import SceneConfig, Simulator

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_RISE_MIB = 64.0
"""Of memory, between the second tenth of a run and its end."""

MAX_AGEING = 1.5
"""Of an output's age: the last third's 95th percentile over the first third's."""

PERIOD_NS = 33_333_333
GAP, DAMAGED = 100, 97
"""Every so many-th thermal image is missing, and RGB image damaged."""

TENTHS = 10
REPLAY_PAIRS = 10_000
USUAL_HZ = 30.0
FAST_HZ, SETTLE_S = 60.0, 5.0
"""Of the pairs that show what a node can take."""

SIZES = "640x512,640x480"
"""Of the street's images, thermal and RGB: for these the node is ready when it is active."""

RGB_SIZE, THERMAL_SIZE = (320, 240), (160, 120)
"""(width, height) in the bag, which is then a tenth of what cameras send."""


@dataclass
class Outcome:
    """One run. left_out: what came to nothing, by the reason. unaccounted: pairs that nothing tells of."""

    name: str
    sent: int
    out: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    unaccounted: int = 0
    memory_mib: list[float] = field(default_factory=list)
    ages_ms: list[float] = field(default_factory=list)
    cores: float = 0.0

    @property
    def rise_mib(self) -> float:
        """Most memory after the second tenth, less what there was then."""
        start = max(1, len(self.memory_mib) // 5)
        return (
            max(self.memory_mib[start:], default=0.0) - self.memory_mib[start] if self.memory_mib else 0.0
        )

    @property
    def ageing(self) -> float:
        """See MAX_AGEING; 1 without ages."""
        third = len(self.ages_ms) // 3
        if not third:
            return 1.0
        return float(np.percentile(self.ages_ms[-third:], 95) / np.percentile(self.ages_ms[:third], 95))

    def faults(self) -> list[str]:
        """What must not be."""
        found = {
            f"memory rose by {self.rise_mib:.0f} MiB": self.rise_mib > MAX_RISE_MIB,
            f"outputs grew {self.ageing:.1f} times as old": self.ageing > MAX_AGEING,
            f"{self.unaccounted} pairs are not accounted for": self.unaccounted != 0,
            "nothing came out": not self.out,
        }
        return [text for text, is_so in found.items() if is_so]

    def row(self) -> str:
        """Of the table."""
        lost = ", ".join(f"{count} {reason}" for reason, count in self.left_out.items()) or "none"
        ages = [f"{np.percentile(self.ages_ms, share):.0f}" for share in (50, 95, 100) if self.ages_ms]
        memory = self.memory_mib or [0.0]
        curve = f"{memory[0]:.0f}, {np.median(memory):.0f}, {max(memory):.0f}, {memory[-1]:.0f}"
        ages_ms, cores = " / ".join(ages) or "-", f"{self.cores:.2f}" if self.cores else "-"
        return f"| {self.name} | {self.sent} | {self.out} | {lost} | {ages_ms} | {cores} | {curve} |"


def resident_mib(pid: int) -> float:
    """Memory of a process, 0 once it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024 if "VmRSS:" in status else 0.0


def write_bag(path: Path, count: int) -> dict[str, int]:
    """A bag of so many moments; returns how many images of each camera can be read."""
    frames = list(Simulator(SceneConfig(duration_s=2.0)).frames())
    images = {
        camera: [cv2.resize(frame.image, size) for name, frame in frames if name == camera]
        for camera, size in (("rgb", RGB_SIZE), ("thermal", THERMAL_SIZE))
    }
    contents = {
        "rgb": [cv2.imencode(".jpg", image[..., ::-1])[1].ravel() for image in images["rgb"]],
        "thermal": [cv2.imencode(".png", image)[1].ravel() for image in images["thermal"]],
    }
    readable = {"rgb": 0, "thermal": 0}
    with BagWriter(path) as writer:
        for index in range(count):
            stamp_ns = START_NS + index * PERIOD_NS
            for camera, kind in (("rgb", "jpeg"), ("thermal", "png")):
                if camera == "thermal" and index % GAP == GAP - 1:
                    continue
                data = contents[camera][index % len(contents[camera])]
                damaged = camera == "rgb" and index % DAMAGED == DAMAGED - 1
                readable[camera] += not damaged
                data = data[:99] if damaged else data
                message = cdr(COMPRESSED, header=header(stamp_ns, camera), format=kind, data=data)
                writer.write_raw(BagTopic(f"/{camera}/image_raw/compressed", COMPRESSED), stamp_ns, message)
    return readable


def replay(pairs: int) -> Outcome:
    """The command, from a bag to a bag."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        readable = write_bag(folder / "in.mcap", pairs)
        words = ["in.mcap", "out.mcap", "--compressed", "--json", "report.json"]
        command = [sys.executable, "-m", "ivfusion_ros.cli", "replay", *words]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=folder)
        memory = []
        while process.poll() is None:
            memory.append(resident_mib(process.pid))
            tell("replay", f"{memory[-1]:.0f} MiB")
            time.sleep(1.0)
        report = json.loads((folder / "report.json").read_text())
    outcome = Outcome("replay", pairs, report["pairs"], memory_mib=[value for value in memory if value])
    skipped = sum(report["skipped_messages"].values())
    outcome.left_out = {"images unreadable": skipped, **report["drops"]}
    failed = sum(report["failed_pairs"].values())
    for camera, count in report["frames"].items():
        dropped = sum(number for reason, number in report["drops"].items() if reason.startswith(camera))
        outcome.unaccounted += abs(readable[camera] - count) + abs(
            count - dropped - report["pairs"] - failed
        )
    outcome.unaccounted += abs(pairs - readable["rgb"] - skipped)
    return outcome


def tell(name: str, text: str) -> None:
    """How it goes, in one line that is written over on a terminal."""
    if sys.stderr.isatty():
        print(f"\r{name}: {text}\x1b[K", end="", file=sys.stderr, flush=True)


class Latest:
    """Keeps the newest of the node's own diagnostics of its fusion."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def __call__(self, message: Any) -> None:
        """Take a DiagnosticArray."""
        for status in message.status:
            if status.name.endswith("fusion"):
                self._values = {item.key: item.value for item in status.values}

    def drops(self) -> dict[str, int]:
        """Pairs that came to nothing, by the reason."""
        start = "dropped: "
        return {
            key[len(start) :]: int(value) for key, value in self._values.items() if key.startswith(start)
        }


def live(
    name: str, seconds: float, share: float = 0.0, rate_hz: float = 0.0, *, bad: bool = False
) -> Outcome:
    """The node, sent pairs for so long.

    share: their rate over what it can take, where rate_hz is 0, which takes pairs that are not counted.
    bad: with hostile messages between them.
    """
    sys.path.insert(0, str(Path(__file__).parent / "ros" / "node"))
    # Nothing leaves this machine.
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    import domain_coordinator
    import harness
    import measure_node

    with domain_coordinator.domain_id() as domain_id, tempfile.TemporaryDirectory() as folder:
        probe = harness.Probe(domain_id, Path(folder))
        try:
            node = probe.start_active(**defaults(), env={"ROS_PYTHON_CHECK_FIELDS": "0"})
            newest = Latest()
            probe.node.create_subscription(harness.DiagnosticArray, "/diagnostics", newest, 10)
            run = measure_node.Run(probe, node, measure_node.street())
            # The node has to find the publishers too.
            time.sleep(SETTLE_S)
            rate_hz = rate_hz or share * able_hz(run)
            run.sent_s.clear()
            # This process must not stop in the middle of a pair either.
            gc.collect()
            gc.freeze()
            between = hostile(probe, harness) if bad else lambda *_: None
            before, memory = newest.drops(), []
            cpu_s, begin_s = run.cpu_s(), time.monotonic()
            for _ in range(TENTHS):
                run.play(rate_hz, round(rate_hz * seconds / TENTHS), between)
                memory.append(run.rss_mb())
                tell(name, f"{len(run.sent_s)} sent, {memory[-1]:.0f} MiB")
            cores = (run.cpu_s() - cpu_s) / (time.monotonic() - begin_s)
            # For the last output, and diagnostics of after it.
            time.sleep(SETTLE_S)
            drops = {reason: count - before.get(reason, 0) for reason, count in newest.drops().items()}
        finally:
            probe.close()
    ages = [age_ms for _, age_ms in sorted(run.ages_ms())]
    lost = len(run.sent_s) - len(ages) - sum(drops.values())
    # What is hostile is dropped as well, and was not counted as sent.
    unaccounted = 0 if bad else max(0, -lost)
    return Outcome(
        f"{name}, {rate_hz:.0f} Hz", len(run.sent_s), len(ages), drops | {"lost on the way": max(0, lost)},
        unaccounted, memory, ages, cores,
    )  # fmt: skip


def defaults() -> dict[str, Any]:
    """The node's own, where the harness has others for plain images, and the size of the street's."""
    faults = FaultConfig()
    return {
        "fusion__backend": "auto",
        "fusion__expected_size": SIZES,
        "detection__model": "auto",
        "faults__least_contrast": faults.least_contrast,
        "faults__frozen_after_ms": faults.frozen_after_ms,
    }


def hostile(probe: Any, harness: Any) -> Callable[[int, int], None]:
    """What sends one bad message after every fifth pair, each kind in turn, to each camera in turn."""
    topics = {camera: f"/{camera}/image_raw" for camera in ("rgb", "thermal")}
    images = {
        camera: probe.publisher(harness.Image, topic, harness.profile(5, reliable=False))
        for camera, topic in topics.items()
    }
    infos = {
        camera: probe.publisher(harness.CameraInfo, f"/{camera}/camera_info", harness.profile(5))
        for camera in topics
    }
    pixels = np.zeros((480, 640), np.uint8)

    def image(stamp_ns: int, encoding: str = "mono8", **fields: Any) -> Any:
        return harness.image(pixels, encoding, stamp_ns, **fields)

    def overlong(stamp_ns: int) -> Any:
        message = image(stamp_ns)
        message.header.stamp.nanosec = 4_000_000_000
        return message

    second_ns = 10**9
    kinds: list[Callable[[int], Any]] = [
        lambda stamp_ns: image(stamp_ns, encoding="ultraviolet7"),
        lambda stamp_ns: image(stamp_ns, height=2**31, width=2**31),
        lambda stamp_ns: image(stamp_ns, width=0, height=0),
        lambda stamp_ns: image(stamp_ns, step=3),
        lambda stamp_ns: image(stamp_ns, encoding="64FC1"),
        lambda stamp_ns: image(stamp_ns, frame_id="x" * 100_000),
        lambda stamp_ns: image(stamp_ns - 3 * second_ns),
        lambda stamp_ns: image(stamp_ns),
        lambda stamp_ns: image(0),
        overlong,
        lambda _: b"\0\1\0\0" + bytes(range(256)) * 9,
        lambda _: b"\0\1\0\0" + b"\xff" * 4096,
    ]
    infos_of: list[Callable[[int], Any]] = [
        lambda stamp_ns: harness.set_stamp(harness.CameraInfo(), stamp_ns),
        lambda _: harness.CameraInfo(width=640, height=480, k=[float("nan")] * 9, d=[float("inf")] * 5),
        lambda _: harness.CameraInfo(width=2**32 - 1, height=1, distortion_model="fish", binning_x=9),
        lambda _: b"\0\1\0\0" + b"\xff" * 512,
    ]

    def send(index: int, stamp_ns: int) -> None:
        if index % 5:
            return
        turn, camera = divmod(index // 5, 2)
        name = ("rgb", "thermal")[camera]
        images[name].publish(kinds[turn % len(kinds)](stamp_ns))
        infos[name].publish(infos_of[turn % len(infos_of)](stamp_ns))

    return send


def able_hz(run: Any) -> float:
    """Outputs a second of a node that is sent more than it can take; its networks are warm then."""
    for _ in range(2):
        run.sent_s.clear()
        run.play(FAST_HZ, round(FAST_HZ * SETTLE_S))
    time.sleep(1.0)
    return float(len(run.ages_ms()) / SETTLE_S)


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    names = ["replay", *LIVE]
    parser.add_argument("parts", nargs="*", default=names, metavar="PART", help=", ".join(names))
    parser.add_argument(
        "--full", action="store_true", help="10,000 pairs, 5 and 30 minutes, instead of a fifth"
    )
    parser.add_argument("--minutes", type=float, help="of each part but replay, instead of its own length")
    options = parser.parse_args()
    share = 1.0 if options.full else 0.2
    has_ros = importlib.util.find_spec("rclpy") is not None
    outcomes = []
    for name in options.parts:
        if name == "replay":
            outcomes.append(replay(round(REPLAY_PAIRS * share)))
        elif has_ros:
            run, minutes = LIVE[name]
            outcomes.append(run(60.0 * (options.minutes or minutes * share)))
        else:
            print(f"{name}: not run, there is no sourced ROS 2")
        tell("", "")
    columns = "run | pairs sent | out | left out | age ms, median / p95 / max | cores"
    print(f"| {columns} | MiB: start, median, most, end |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(outcome.row() for outcome in outcomes))
    faults = [f"{outcome.name}: {fault}" for outcome in outcomes for fault in outcome.faults()]
    print("\n".join(faults or ["memory, ages and accounts hold"]))
    return 1 if faults else 0


LIVE: dict[str, tuple[Callable[[float], Outcome], float]] = {
    "usual": (lambda seconds: live("node, usual", seconds, rate_hz=USUAL_HZ), 5.25),
    "pairs": (lambda seconds: live("node", seconds, 0.8), 10.0),
    "overload": (lambda seconds: live("node, overload", seconds, 2.0), 5.0),
    "hostile": (lambda seconds: live("node, hostile", seconds, rate_hz=USUAL_HZ, bad=True), 30.0),
}
"""Runs of the node by name; each takes seconds, beside it the minutes of its full length."""

if __name__ == "__main__":
    sys.exit(main())
