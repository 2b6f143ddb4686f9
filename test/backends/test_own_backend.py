"""A backend of one's own is a class and a row in BACKENDS, and nothing else."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from pipeline_samples import make_pair

from ivfusion_ros.backends import (
    BACKENDS,
    BackendRow,
    available_backends,
    cuda,
    load_backend,
    resolve_backend,
)
from ivfusion_ros.bags import BagReader
from ivfusion_ros.bags.messages import to_frame
from ivfusion_ros.cli import main
from ivfusion_ros.commands import doctor
from ivfusion_ros.config.parameters import make_config
from ivfusion_ros.config.pipeline import PipelineConfig
from ivfusion_ros.errors import BackendError
from ivfusion_ros.evaluation.speed import roofline
from ivfusion_ros.images.files import read_image, write_image
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.types import Image

TOY = '''
"""It gives the negative of the RGB image, whatever the model."""
import numpy as np
from ivfusion_ros.backends.tensors import TensorInfo, checked_inputs

COLOUR = TensorInfo((1, None, None, 3), np.dtype(np.uint8))

class Toy:
    name = "toy"
    description = "a toy"
    inputs = {"thermal": TensorInfo((1, None, None), np.dtype(np.uint8)), "rgb": COLOUR}
    outputs = {"fused": COLOUR}
    metadata = {}

    def __init__(self, model_path, *, precision, threads):
        self.asked = model_path.name, precision, threads

    def run(self, inputs):
        return {"fused": 255 - checked_inputs(inputs, self.inputs, "toy")["rgb"]}

    def close(self):
        pass
'''
ROW = BackendRow("toy_backend:Toy", install="nothing, it is a test's", tasks=("fusion",))


@pytest.fixture(autouse=True)
def kept_rows() -> Iterator[None]:
    """The rows and their order, which auto goes by, are those of before after each test."""
    rows = dict(BACKENDS)
    yield
    BACKENDS.clear()
    BACKENDS.update(rows)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Adds the backend; gives an empty folder."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "toy_backend.py").write_text(TOY)
    monkeypatch.syspath_prepend(str(folder))
    BACKENDS["toy"] = ROW
    yield tmp_path
    sys.modules.pop("toy_backend", None)


@pytest.fixture
def missing() -> None:
    BACKENDS["missing"] = ROW._replace(runs="no_such_module:Toy", install="pip install it")


def colours(seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (64, 96, 3), np.uint8)


def test_it_is_loaded_by_name_and_fuses(toy: Path, blend_model: Path) -> None:
    backend = load_backend(blend_model, "toy", precision="f32", threads=3)
    assert backend.asked == ("blend.onnx", "f32", 3)
    assert available_backends()["toy"] == (True, "")
    # auto takes only what its row offers to it.
    assert resolve_backend() != "toy"
    config = make_config(
        PipelineConfig,
        {"fusion.model": str(blend_model), "fusion.backend": "toy", "detection.model": ""},
    )
    with build_pipeline(config) as pipeline:
        pair = make_pair()
        assert np.array_equal(pipeline.process(pair).fused, 255 - pair.rgb.image)


def test_auto_takes_it_where_its_row_says_so(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others = {name: row for name, row in BACKENDS.items() if name != "toy"}
    BACKENDS.clear()
    BACKENDS.update(toy=ROW._replace(auto=True), **others)
    monkeypatch.setattr(cuda, "find_gpu", Mock(side_effect=BackendError("no GPU")))
    assert resolve_backend() == "toy"


def test_it_has_the_version_of_its_library(toy: Path) -> None:
    BACKENDS["toy"] = ROW._replace(library="numpy")
    assert available_backends()["toy"] == (True, np.__version__)
    BACKENDS["toy"] = ROW._replace(library="no_such_library")
    assert not available_backends()["toy"].usable
    BACKENDS["toy"] = ROW._replace(runs="toy_backend:Toyota")
    with pytest.raises(BackendError, match=r"backend toy cannot run here: .*no attribute 'Toyota'"):
        load_backend("a.onnx", "toy")


def test_doctor_lists_it(
    toy: Path, missing: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "read_models", dict)
    assert main(["doctor", "--json", str(toy / "doctor.json")]) == 0
    found = json.loads((toy / "doctor.json").read_text())["backends"]
    assert found["toy"] == "runs" and found["onnxruntime"].startswith("runs, version ")
    assert "No module named 'no_such_module'; run: pip install it, or choose" in found["missing"]


def test_bench_times_it_beside_the_others(
    toy: Path, missing: None, blend_model: Path, box_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx")
    for name in BACKENDS.keys() - {"toy", "missing", "onnxruntime"}:
        del BACKENDS[name]
    monkeypatch.setattr(roofline, "PROBE_SIZES", ((16, 16),))
    monkeypatch.setattr(roofline, "COPY_BYTES", 1 << 16)
    words = ["bench", "--model", str(blend_model), "--size", "64x48", "--rounds", "1", "--roofline"]
    report = toy / "bench.json"
    assert main([*words, "--json", str(report)]) == 0
    figures = json.loads(report.read_text())
    for part in ("networks", "pipelines"):
        assert {name.split()[1] for name in figures[part]} == {"a", "ONNX"}, figures[part].keys()
    # It finds no objects, so that no pipeline with a detector is one of its own.
    assert main([*words, "--detector", str(box_model), "--json", str(report)]) == 0
    assert len(json.loads(report.read_text())["pipelines"]) == 1


def test_a_backend_that_is_missing_is_one_message(
    missing: None, blend_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", "--model", str(blend_model), "--backend", "missing"]
    assert main(words) == BackendError.exit_code
    assert "backend missing cannot run here" in capsys.readouterr().err


def test_the_command_line_takes_its_name(
    toy: Path, blend_model: Path, small_bag: Path, box_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rgb = colours()
    write_image(toy / "rgb.png", rgb)
    write_image(toy / "thermal.png", colours(1)[..., 0])
    words = ["fuse", str(toy / "thermal.png"), str(toy / "rgb.png"), str(toy / "fused.png")]
    assert main([*words, "--model", str(blend_model), "--backend", "toy"]) == 0
    assert np.array_equal(read_image(toy / "fused.png"), 255 - rgb)
    words = ["replay", str(small_bag), str(toy / "out.mcap"), "--detector", str(box_model)]
    assert main([*words, "--model", str(blend_model), "--backend", "toy", "--originals"]) == 0
    images = {}
    with BagReader(toy / "out.mcap") as reader:
        for topic, _, data in reader.messages({"/fused/image_raw", "/rgb/image_raw", "/detections"}):
            images.setdefault(topic.name, []).append((data, topic.type))
    assert len(images["/detections"]) == 10
    fused, seen = (
        [to_frame(*message, None).image for message in images[name]]
        for name in ("/fused/image_raw", "/rgb/image_raw")
    )
    assert len(fused) == 10
    # After three pairs the noise counts as a fault of the cameras, which fades the fused image.
    assert all(np.array_equal(new, 255 - old) for new, old in zip(fused[:3], seen[:3], strict=True))
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["replay", "--help"])
    assert "toy: the fusion network only" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(SystemExit):
        main(["detect", "a.png", "out", "--backend", "toy"])
    assert "invalid choice: 'toy'" in capsys.readouterr().err
