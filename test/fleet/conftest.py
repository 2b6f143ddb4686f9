"""Recordings whose moments are known by hand, and a fleet's results of them."""

from dataclasses import replace

import numpy as np
import pytest

from ivfusion_ros.bags import BagWriter
from ivfusion_ros.config.parameters import make_config
from ivfusion_ros.config.pipeline import PipelineConfig
from ivfusion_ros.fleet import Fleet, Job, Store, Worker, find_recordings
from ivfusion_ros.types import Frame


class Here:
    """Replicas of one worker in this process."""

    def __init__(self, job, store):
        self.worker, self.fused = Worker(job, store.root), []

    def do(self, tasks):
        for task in tasks:
            self.fused.append(task.recording.name)
            yield task, self.worker.do(task) | {"attempts": 1}


@pytest.fixture
def here():
    return Here


@pytest.fixture
def job(blend_model):
    parameters = {"fusion.model": str(blend_model), "fusion.threads": 1, "detection.model": ""}
    return Job(make_config(PipelineConfig, parameters | {"fusion.backend": "onnxruntime"}))


PAIRS, HOT, DARK = 30, range(10, 20), range(5, 15)
"""At 10 Hz; the person is at 312 K or 295 K."""


@pytest.fixture
def hot_job(blend_model, box_model, job):
    config = job.config
    config = replace(
        config,
        detection=replace(config.detection, model=str(box_model), backend="onnxruntime", threads=1),
        thermal=replace(config.thermal, scaling="radiometric", range_min=280.0, range_max=320.0),
    )
    return Job(config, detections=True)


@pytest.fixture
def drive(tmp_path):
    """A recording whose images were received 2 s after they were taken."""
    rng = np.random.default_rng(0)
    (tmp_path / "drives").mkdir()
    path = tmp_path / "drives" / "a.mcap"
    with BagWriter(path) as writer:
        for index in range(PAIRS):
            stamp_ns = 10**18 + index * 10**8
            thermal = rng.integers(29400, 29500, (64, 96), np.uint16)
            thermal[20:60, 10:30] += 1700 if index in HOT else 0
            rgb = rng.integers(0, 40 if index in DARK else 200, (64, 96, 3), np.uint8)
            writer.write_frame("thermal", Frame(thermal, stamp_ns, received_ns=stamp_ns + 2 * 10**9))
            writer.write_frame("rgb", Frame(rgb, stamp_ns, received_ns=stamp_ns + 2 * 10**9))
    return path


@pytest.fixture
def fuse(tmp_path, here):
    """A function: a job over the folder of a recording, into out/."""

    def whole(job, recording):
        store = Store(str(tmp_path / "out"))
        fleet = Fleet(job, find_recordings([str(recording.parent)]), store)
        assert [row["error"] for row in fleet.fuse(here(job, store))] == [""]
        return fleet

    return whole


@pytest.fixture(scope="session")
def cluster():
    """A cluster of two machines of one CPU each, all on this one."""
    ray = pytest.importorskip("ray", reason="needs ray")
    utils = pytest.importorskip("ray.cluster_utils")
    made = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    made.add_node(num_cpus=1)
    ray.init(address=made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()
