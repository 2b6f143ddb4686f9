"""Recordings whose moments are known by hand, and a fleet's results of them."""

import pytest

from ivfusion_ros.config.parameters import make_config
from ivfusion_ros.config.pipeline import PipelineConfig
from ivfusion_ros.fleet import Job, Worker


class Here:
    """Replicas of one worker in this process."""

    def __init__(self, job, store):
        self.worker, self.fused = Worker(job, store.root), []

    def fuse(self, tasks):
        for recording, folder in tasks:
            self.fused.append(recording.name)
            yield self.worker.fuse(recording, folder) | {"attempts": 1}


@pytest.fixture
def here():
    return Here


@pytest.fixture
def job(blend_model):
    parameters = {"fusion.model": str(blend_model), "fusion.threads": 1, "detection.model": ""}
    return Job(make_config(PipelineConfig, parameters | {"fusion.backend": "onnxruntime"}))
