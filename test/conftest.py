"""Shared fixtures: small models whose outputs are known by hand, a small bag, simulated streets."""

import os
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Images are small here: more threads than one only wait for each other, in loops that take CPU time.
# Read when torch is first imported, here or in a process that a test starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Read when ultralytics is first imported: its settings are neither the user's nor those of a process beside
# this one, which may be half written.
ULTRALYTICS = tempfile.TemporaryDirectory(prefix="ultralytics_")
os.environ["YOLO_CONFIG_DIR"] = ULTRALYTICS.name

import cv2
import numpy as np
import onnxruntime
import pytest
from hypothesis import settings
from places import SHARED
from sample_frames import make_frames
from simulator_samples import SMALL, STILL

from ivfusion_ros.backends import usable_cores
from ivfusion_ros.bags import BagWriter
from ivfusion_ros.simulate import SceneConfig, Simulator

cv2.setNumThreads(1)


class OneThreadSession(onnxruntime.InferenceSession):
    """Where a session is left the choice: the threads of ONNX Runtime spin while they wait."""

    def __init__(self, path, sess_options=None, **options) -> None:
        chosen = sess_options or onnxruntime.SessionOptions()
        chosen.intra_op_num_threads = chosen.intra_op_num_threads or 1
        super().__init__(path, chosen, **options)


onnxruntime.InferenceSession = OneThreadSession
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """A process for each core, if each has 4 GB of memory, of which it took up to 3.1.

    0 where that makes one: this process does the work, and starts none beside it.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    workers = min(usable_cores(), memory // 4_000_000_000)
    return workers if workers > 1 else 0


def seed_everything() -> None:
    """What draws without a generator of its own draws the same, in any order of the tests."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 (the legacy state is what is to be set)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Each test, and each fixture of its own, starts from the same random numbers."""
    seed_everything()


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup() -> None:
    """So does each fixture that several tests share, whichever of them comes first."""
    seed_everything()


@pytest.fixture(scope="session", autouse=True)
def own_measurements(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where auto measures, as on ARM, it neither reads nor changes what this user's cache remembers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IVFUSION_MEASUREMENTS", str(tmp_path_factory.mktemp("measurements")))
        yield


@pytest.fixture
def one_export_per_network() -> Iterator[None]:
    """See captures."""
    from captures import shared_captures

    with shared_captures():
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data, for tests that need it."""
    if not SHARED.is_dir():
        pytest.skip("needs the folder ../shared with real data")
    return SHARED


@pytest.fixture(scope="session")
def blend_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fusion graph whose output is (rgb + thermal) // 2 per channel."""
    onnx = pytest.importorskip("onnx")
    helper, types = onnx.helper, onnx.TensorProto
    axes = onnx.numpy_helper.from_array(np.array([3]), "axes")
    two = onnx.numpy_helper.from_array(np.array(2, np.int32), "two")
    nodes = [
        helper.make_node("Unsqueeze", ["thermal", "axes"], ["thermal4"]),
        helper.make_node("Cast", ["thermal4"], ["a"], to=types.INT32),
        helper.make_node("Cast", ["rgb"], ["b"], to=types.INT32),
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("Div", ["sum", "two"], ["half"]),
        helper.make_node("Cast", ["half"], ["fused"], to=types.UINT8),
    ]
    colour = [1, "h", "w", 3]
    graph = helper.make_graph(
        nodes,
        "blend",
        [
            helper.make_tensor_value_info("thermal", types.UINT8, [1, "h", "w"]),
            helper.make_tensor_value_info("rgb", types.UINT8, colour),
        ],
        [helper.make_tensor_value_info("fused", types.UINT8, colour)],
        [axes, two],
    )
    return _save(helper, onnx, graph, tmp_path_factory.mktemp("blend") / "blend.onnx")


@pytest.fixture(scope="session")
def box_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector (u head, input 64x96) that always finds one person at (10, 20)-(30, 60), score 0.9."""
    onnx = pytest.importorskip("onnx")
    helper, types = onnx.helper, onnx.TensorProto
    output = np.zeros((1, 6, 126), np.float32)
    output[0, :, 0] = [20, 40, 20, 40, 0.9, 0.0]
    constant = onnx.numpy_helper.from_array(output, "constant")
    zero = onnx.numpy_helper.from_array(np.zeros(1, np.float32), "zero")
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["constant", "nothing"], ["output0"]),
    ]
    graph = helper.make_graph(
        nodes,
        "box",
        [helper.make_tensor_value_info("images", types.FLOAT, [1, 3, 64, 96])],
        [helper.make_tensor_value_info("output0", types.FLOAT, [1, 6, 126])],
        [constant, zero],
    )
    path = tmp_path_factory.mktemp("box") / "box.onnx"
    return _save(helper, onnx, graph, path, names="{0: 'person', 1: 'car'}")


def _save(helper, onnx, graph, path: Path, **metadata: str) -> Path:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def small_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten pairs of 96x64 as a single MCAP file."""
    path = tmp_path_factory.mktemp("bag") / "small.mcap"
    with BagWriter(path) as writer:
        for camera, frame in make_frames():
            writer.write_frame(camera, frame)
    return path


@pytest.fixture(scope="session")
def demo_street() -> Simulator:
    """The scene and cameras of the demo."""
    return Simulator()


@pytest.fixture(scope="session")
def small_street() -> Simulator:
    """One second, seen by small cameras."""
    return Simulator(SceneConfig(duration_s=1.0), SMALL)


@pytest.fixture(scope="session")
def empty_street() -> Simulator:
    """Without people and cars, seen by small cameras."""
    return Simulator(STILL, SMALL)
