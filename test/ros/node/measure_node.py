"""Figures of the node on this machine: python test/ros/node/measure_node.py (with a sourced ROS 2).

Two processes, the node and this one, 640x480 rgb8 and mono16. `sustained` has the networks that ship, and
a simulated street; the others have a backend that only copies or sleeps.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import domain_coordinator
import harness
import numpy as np

from ivfusion_ros.simulate import SceneConfig, Simulator

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH, HEIGHT = 640, 480
SETTLE_S = 3.0


Messages = list[tuple[Any, Any]]
"""(rgb, thermal) images to be sent, again and again"""


def sleeping_node(
    probe: harness.Probe, sleep_s: float = 0.0, program: str = "sleeping_node.py"
) -> harness.FusionProcess:
    """A node with the sleeping backend, or another program."""
    model = Path(tempfile.gettempdir()) / "measure_node.onnx"
    model.touch()
    return probe.start_active(
        fusion__model=str(model),
        program=program,
        fusion__backend="sleeping",
        env={"SLEEP_S": str(sleep_s), "ROS_PYTHON_CHECK_FIELDS": "0"},
    )


def noise() -> Messages:
    random = np.random.default_rng(0)
    rgb = random.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    counts = random.integers(29000, 31000, (HEIGHT, WIDTH), np.uint16)
    return [(harness.image(rgb, "rgb8"), harness.image(counts, "mono16"))]


def street() -> Messages:
    frames = list(Simulator(SceneConfig(duration_s=2.0)).frames())
    rgb = [harness.image(frame.image, "rgb8") for camera, frame in frames if camera == "rgb"]
    thermal = [harness.image(frame.image, "mono16") for camera, frame in frames if camera == "thermal"]
    return list(zip(rgb, thermal, strict=False))


class Run:
    """A node, what it is sent, and what came out of it."""

    def __init__(
        self,
        probe: harness.Probe,
        node: harness.FusionProcess,
        messages: Messages,
        *,
        listens: bool = True,
    ) -> None:
        self.node = node
        self._messages = messages
        best_effort = harness.profile(5, reliable=False)
        self._rgb = probe.publisher(harness.Image, "/rgb/image_raw", best_effort)
        self._thermal = probe.publisher(harness.Image, "/thermal/image_raw", best_effort)
        self._outputs: dict[int, float] = {}
        self._statuses: list[Any] = []
        if listens:
            probe.node.create_subscription(
                harness.Image, "/fused/image_raw", self._on_fused, harness.profile(5)
            )
            probe.node.create_subscription(
                harness.DiagnosticStatus, "/fusion_node/status", self._statuses.append, harness.profile(100)
            )
        self.sent_s: dict[int, float] = {}

    def _on_fused(self, message: Any) -> None:
        self._outputs[harness.stamp_of(message)] = time.monotonic()

    def play(
        self, rate_hz: float, count: int, between: Callable[[int, int], None] = lambda *_: None
    ) -> None:
        """Publish pairs at a rate; the moment of sending is that of the second image of a pair.

        between: called after each with its index and stamp.
        """
        begin_s, begin_ns = time.monotonic(), time.time_ns()
        for index in range(count):
            due_s = begin_s + index / rate_hz
            time.sleep(max(0.0, due_s - time.monotonic()))
            stamp_ns = begin_ns + round(index * 1e9 / rate_hz)
            rgb, thermal = self._messages[index % len(self._messages)]
            self._rgb.publish(harness.set_stamp(rgb, stamp_ns))
            self.sent_s[stamp_ns] = time.monotonic()
            self._thermal.publish(harness.set_stamp(thermal, stamp_ns))
            between(index, stamp_ns)

    def ages_ms(self) -> list[tuple[float, float]]:
        """(seconds since the first pair, output's age) of each output that arrived."""
        sent = dict(self.sent_s)
        first_s = min(sent.values())
        found = [(stamp, at_s) for stamp, at_s in dict(self._outputs).items() if stamp in sent]
        return [(sent[stamp] - first_s, (at_s - sent[stamp]) * 1e3) for stamp, at_s in found]

    def overheads_ms(self) -> dict[str, list[float]]:
        """Time beyond Pipeline.process of each output: in the node, and with the transport both ways."""
        found: dict[str, list[float]] = {"in_node": [], "with_transport": []}
        for status in list(self._statuses):
            values, stamp = harness.status_values(status), harness.stamp_of(status)
            if stamp in self._outputs and stamp in self.sent_s:
                age_ms = (self._outputs[stamp] - self.sent_s[stamp]) * 1e3
                found["with_transport"].append(age_ms - float(values["pipeline_ms"]))
                found["in_node"].append(float(values["node_ms"]) - float(values["pipeline_ms"]))
        return found

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.node.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self) -> float:
        status = Path(f"/proc/{self.node.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def percentiles(values: list[float]) -> dict[str, float]:
    found = {"median": np.median(values), "p95": np.percentile(values, 95), "max": max(values)}
    return {name: round(float(value), 2) for name, value in found.items()}


def overhead(probe: harness.Probe, seconds: float) -> dict[str, Any]:
    """What the node adds to the pipeline at 30 Hz, and its share of one core."""
    run = Run(probe, sleeping_node(probe), noise())
    run.play(30, round(30 * SETTLE_S))
    run.sent_s.clear()
    cpu_s, start_s = run.cpu_s(), time.monotonic()
    run.play(30, round(30 * seconds))
    cpu = (run.cpu_s() - cpu_s) / (time.monotonic() - start_s)
    time.sleep(1)
    overhead_ms = {where: percentiles(values) for where, values in run.overheads_ms().items()}
    age_ms = percentiles([age for _, age in run.ages_ms()])
    counts = {"sent": len(run.sent_s), "outputs": len(run.ages_ms())}
    return {**counts, "overhead_ms": overhead_ms, "age_ms": age_ms, "cpu_of_one_core": round(cpu, 3)}


def idle(probe: harness.Probe, seconds: float) -> dict[str, Any]:
    """The node's share of one core at 30 Hz while nobody listens to it."""
    run = Run(probe, sleeping_node(probe), noise(), listens=False)
    run.play(30, round(30 * SETTLE_S))
    cpu_s, start_s = run.cpu_s(), time.monotonic()
    run.play(30, round(30 * seconds))
    return {"cpu_of_one_core": round((run.cpu_s() - cpu_s) / (time.monotonic() - start_s), 3)}


def relay(probe: harness.Probe, seconds: float) -> dict[str, Any]:
    """The same as `overhead` of a node that only passes the RGB image on: the cost of the transport."""
    run = Run(probe, sleeping_node(probe, program="relay_node.py"), noise())
    run.play(30, round(30 * seconds))
    time.sleep(1)
    return {"sent": len(run.sent_s), "age_ms": percentiles([age for _, age in run.ages_ms()])}


def age(probe: harness.Probe, seconds: float) -> dict[str, Any]:
    """How old outputs are with a backend of 60 ms at 30 Hz, and minute by minute."""
    run = Run(probe, sleeping_node(probe, 0.06), noise())
    run.play(30, round(30 * seconds))
    time.sleep(1)
    ages = run.ages_ms()
    minutes: dict[int, list[float]] = {}
    for at_s, age_ms in ages:
        minutes.setdefault(int(at_s // 60), []).append(age_ms)
    by_minute = [percentiles(values) for _, values in sorted(minutes.items())]
    all_ages = percentiles([age_ms for _, age_ms in ages])
    return {"sent": len(run.sent_s), "outputs": len(ages), "age_ms": all_ages, "by_minute": by_minute}


def memory(probe: harness.Probe, pairs: float) -> dict[str, Any]:
    """Resident memory of the node after each tenth of the pairs."""
    run = Run(probe, sleeping_node(probe), noise())
    sizes, share = [], round(pairs / 10)
    for _ in range(10):
        run.play(60, share)
        sizes.append(round(run.rss_mb(), 1))
    time.sleep(1)
    return {"sent": len(run.sent_s), "outputs": len(run.ages_ms()), "rss_mb": sizes}


def sustained(probe: harness.Probe, pairs: float) -> dict[str, Any]:
    """Outputs of the networks that ship at 30 Hz; cores: that the node keeps busy, and this process."""
    node = probe.start_active(
        fusion__backend="auto", detection__model="auto", env={"ROS_PYTHON_CHECK_FIELDS": "0"}
    )
    run = Run(probe, node, street())
    run.play(30, round(30 * SETTLE_S))
    run.sent_s.clear()
    cpu_s, own_s, start_s = run.cpu_s(), time.process_time(), time.monotonic()
    run.play(30, round(pairs))
    seconds = time.monotonic() - start_s
    cores = {
        "node": round((run.cpu_s() - cpu_s) / seconds, 2),
        "probe": round((time.process_time() - own_s) / seconds, 2),
    }
    time.sleep(1)
    ages = run.ages_ms()
    age_ms = percentiles([age for _, age in ages])
    return {"sent": len(run.sent_s), "outputs": len(ages), "age_ms": age_ms, "cores": cores}


MEASUREMENTS = {
    "sustained": (sustained, 2000.0),
    "overhead": (overhead, 60.0),
    "idle": (idle, 30.0),
    "relay": (relay, 30.0),
    "age": (age, 300.0),
    "memory": (memory, 10000.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", default=list(MEASUREMENTS), help=f"of {', '.join(MEASUREMENTS)}"
    )
    parser.add_argument("--amount", type=float, help="seconds, or pairs for memory; less for a quick look")
    options = parser.parse_args()
    for name in options.names:
        measure, usual = MEASUREMENTS[name]
        with domain_coordinator.domain_id() as domain_id, tempfile.TemporaryDirectory() as folder:
            probe = harness.Probe(domain_id, Path(folder))
            try:
                load = os.getloadavg()[0]
                figures = measure(probe, options.amount or usual)
                print(json.dumps({name: figures, "load_average_before": round(load, 2)}), flush=True)
            finally:
                probe.close()


if __name__ == "__main__":
    main()
