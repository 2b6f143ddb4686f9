"""The robot's runtime stays light: the core fuses without torch, ROS and the libraries of a desk."""

import subprocess
import sys

import pytest

BLOCKED = (
    "torch",
    "rclpy",
    "ultralytics",
    "tensorrt",
    "onnx",
    "openvino",
    "av",
    "simplejpeg",
    "sensor_msgs",
    "vision_msgs",
)

PROGRAM = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Block())
import numpy as np
import ivfusion_ros.pipeline.replay, ivfusion_ros.bags, ivfusion_ros.images.draw
import ivfusion_ros.metrics, ivfusion_ros.simulate
import ivfusion_ros.commands.replay, ivfusion_ros.commands.demo, ivfusion_ros.commands.doctor
from ivfusion_ros.config.pipeline import PipelineConfig
from ivfusion_ros.config.parameters import make_config
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.types import Frame, FramePair
config = make_config(PipelineConfig, {{"fusion.model": {model!r}, "detection.model": ""}})
with build_pipeline(config) as pipeline:
    pair = FramePair(Frame(np.zeros((64, 96), np.uint16), 0), Frame(np.zeros((64, 96, 3), np.uint8), 0))
    assert pipeline.process(pair).fused.shape == (64, 96, 3)
    assert pipeline.fuser.backend.name == "onnxruntime"
"""


def test_core_without_heavy_libraries(blend_model) -> None:
    program = PROGRAM.format(blocked=BLOCKED, model=str(blend_model))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("command", "library"), [("train", "torch"), ("export", "torch")])
def test_a_missing_library_is_named_with_how_to_get_it(command: str, library: str, tmp_path) -> None:
    program = (
        f"import sys; sys.modules[{library!r}] = None\n"
        "from ivfusion_ros.cli import main\n"
        f"sys.exit(main([{command!r}, 'x', 'y.onnx']) if {command!r} == 'export' "
        f"else main([{command!r}, 'refinefuse', '--data', 'x']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 6, done.stderr
    assert "pip install" in done.stderr and "Traceback" not in done.stderr
