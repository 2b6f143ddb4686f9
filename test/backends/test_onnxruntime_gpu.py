"""ONNX Runtime's TensorRT providers, by sessions that stand in for a GPU's; and where there are none."""

import json
import logging
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import onnxruntime
import pytest

pytest.importorskip("onnx")

import fake_gpu
from small_models import SIDES, write_detector, write_fusion

from ivfusion_ros.backends import BackendStatus, available_backends, cuda, load_backend, self_test
from ivfusion_ros.backends.device import DeviceBackend
from ivfusion_ros.backends.onnxruntime_gpu import backend as gpu_backend
from ivfusion_ros.backends.onnxruntime_gpu import providers
from ivfusion_ros.commands.doctor import recommend
from ivfusion_ros.config.pipeline import DetectionConfig
from ivfusion_ros.detection import Detector
from ivfusion_ros.errors import BackendError, ModelError
from ivfusion_ros.pipeline.fuser import Fuser

SIZE = (48, 32)
NAMES = ("onnxruntime_tensorrt", "onnxruntime_rtx")
PLUGIN = SimpleNamespace(
    __version__="0.5",
    get_ep_name=lambda: "NvTensorRTRTXExecutionProvider",
    get_library_path=lambda: "/x.so",
)
REAL = onnxruntime.InferenceSession


class Session:
    """A session of a provider, on the CPU: it keeps a file as providers do, and notes what it was given.

    damage: what becomes of a fused image. falls_back: the provider does not load, as ONNX Runtime has it.
    """

    made: ClassVar[list[SimpleNamespace]] = []
    damage: ClassVar[Any] = staticmethod(lambda image: image)
    falls_back = False

    def __init__(self, graph: bytes, options: Any, providers: list[Any] | None = None) -> None:
        self.chosen = providers[0] if providers else options.chosen
        self.session = REAL(graph, providers=["CPUExecutionProvider"])
        self.folder = Path(
            self.chosen[1].get("trt_engine_cache_path") or self.chosen[1]["nv_runtime_cache_path"]
        )
        engine = self.folder / "a.engine"
        self.loaded = engine.exists()
        engine.write_bytes(b"compiled")
        Session.made.append(SimpleNamespace(chosen=self.chosen, loaded=self.loaded))

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"] if Session.falls_back else [self.chosen[0], "CPUExecutionProvider"]

    def disable_fallback(self) -> None: ...

    def get_outputs(self) -> Any:
        return self.session.get_outputs()

    def run(self, names: list[str], inputs: dict[str, Any]) -> list[Any]:
        first, *others = self.session.run(names, inputs)
        return [Session.damage(first) if first.dtype == np.uint8 else first, *others]

    def __del__(self) -> None:
        # As the plugin does with kernels that were compiled while it ran.
        if self.folder.is_dir():
            (self.folder / "kernels").write_bytes(b"more")


class Options:
    """Of a session that a plugin is chosen in."""

    log_severity_level = 0

    def add_provider_for_devices(self, devices: list[Any], options: dict[str, str]) -> None:
        self.chosen = devices[0].ep_name, options


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A GPU with both providers; gives the folder of engines."""
    monkeypatch.setenv("IVFUSION_ENGINES", str(tmp_path / "engines"))
    device = SimpleNamespace(ep_name="NvTensorRTRTXExecutionProvider")
    stand_in = SimpleNamespace(
        __version__="1.99",
        InferenceSession=Session,
        SessionOptions=Options,
        get_available_providers=lambda: ["TensorrtExecutionProvider", "CPUExecutionProvider"],
        get_ep_devices=lambda: [SimpleNamespace(ep_name="CPUExecutionProvider"), device],
        register_execution_provider_library=lambda name, path: None,
    )
    monkeypatch.setattr(providers, "onnxruntime", stand_in)
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_nv_tensorrt_rtx", PLUGIN)
    monkeypatch.setattr(cuda, "find_gpu", lambda: fake_gpu.GPU)
    monkeypatch.setattr(self_test, "sample_pairs", fake_gpu.sample_pairs)
    monkeypatch.setattr(Session, "made", [])
    providers._registered.cache_clear()
    yield tmp_path / "engines"
    providers._registered.cache_clear()


@pytest.fixture(scope="module")
def fusion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fusion(tmp_path_factory.mktemp("fusion") / "fusion.onnx")


def pair(size: tuple[int, int] = SIZE) -> tuple[np.ndarray, np.ndarray]:
    return fake_gpu.sample_pairs(size)[0]


def same(left: np.ndarray, right: np.ndarray) -> bool:
    return int(np.abs(left.astype(int) - right.astype(int)).max()) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_it_gives_what_the_cpu_gives_and_compiles_once(name: str, gpu: Path, fusion: Path) -> None:
    expected = Fuser(load_backend(fusion, "onnxruntime"))(*pair())
    for start in range(2):
        backend = load_backend(fusion, name)
        assert isinstance(backend, DeviceBackend) and "f16 on NVIDIA Test" in backend.description
        assert same(Fuser(backend)(*pair()), expected) and same(Fuser(backend)(*pair()), expected)
        backend.close()
        # Kernels that came while it ran are its own the next time.
        assert [session.loaded for session in Session.made] == [False, True][: start + 1]
        with pytest.raises(BackendError, match="was closed"):
            Fuser(backend)(*pair())
    (folder,) = gpu.glob("*.provider")
    record = json.loads((folder / "record.json").read_text())
    assert record["key"]["flavour"] == name and record["runs_in"] == "f16"
    assert "mean error" in record["check"] and record["plan_bytes"] == len(b"compiled" + b"more")
    assert folder.stat().st_mode & 0o77 == 0


def test_the_options_are_those_of_each_provider(gpu: Path, fusion: Path) -> None:
    for name, precision in ((NAMES[0], "auto"), (NAMES[0], "f32"), (NAMES[1], "auto")):
        Fuser(load_backend(fusion, name, precision=precision))(*pair())
    half, full, rtx = (session.chosen for session in Session.made)
    assert half[0] == "TensorrtExecutionProvider" and rtx[0] == "NvTensorRTRTXExecutionProvider"
    assert (half[1]["trt_fp16_enable"], full[1]["trt_fp16_enable"]) == ("1", "0")
    assert half[1]["trt_engine_cache_enable"] == half[1]["trt_timing_cache_enable"] == "1"
    assert len({half[1]["trt_engine_cache_path"], full[1]["trt_engine_cache_path"], *rtx[1].values()}) == 3


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: (folder / "a.engine").write_bytes(b"others'"), "is not what was written"),
        (lambda folder: (folder / "b.engine").write_bytes(b"more"), "is not what was written"),
        (lambda folder: (folder / "record.json").write_text("{"), "no record that can be read"),
        (lambda folder: folder.chmod(0o777), "others can write"),
        (lambda folder: (folder / "a.engine").chmod(0o666), "others can write"),
        (lambda folder: (folder / "c.engine").symlink_to(folder / "a.engine"), "is a link"),
    ],
)
def test_what_could_be_somebody_elses_is_compiled_anew(
    spoil: Any, reason: str, gpu: Path, fusion: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = load_backend(fusion, NAMES[0])
    Fuser(first)(*pair())
    first.close()
    (folder,) = gpu.glob("*.provider")
    spoil(folder)
    with caplog.at_level(logging.INFO):
        Fuser(load_backend(fusion, NAMES[0]))(*pair())
    assert reason in caplog.text and [session.loaded for session in Session.made] == [False, False]


def test_another_version_or_model_compiles_anew(
    gpu: Path,
    fusion: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    Fuser(load_backend(fusion, NAMES[0]))(*pair())
    monkeypatch.setattr(providers.onnxruntime, "__version__", "2.0")
    with caplog.at_level(logging.INFO):
        Fuser(load_backend(fusion, NAMES[0]))(*pair())
    assert "version was 1.99, TensorRT" in caplog.text
    other = write_fusion(tmp_path / "fusion.onnx", seed=1)
    Fuser(load_backend(other, NAMES[0]))(*pair())
    assert [session.loaded for session in Session.made] == [False] * 3


def test_half_that_fails_runs_in_f32_and_f32_that_fails_does_not_run(
    gpu: Path, fusion: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def spotted(image: np.ndarray) -> np.ndarray:
        image = image.copy()
        image[0, 3:6, 3:6] ^= 255
        return image

    monkeypatch.setattr(
        Session, "damage", staticmethod(lambda image: spotted(image) if len(Session.made) == 1 else image)
    )
    expected = Fuser(load_backend(fusion, "onnxruntime"))(*pair())
    assert same(Fuser(load_backend(fusion, NAMES[0]))(*pair()), expected)
    assert "fusion.onnx runs in f32: fusion.onnx in f16 failed its self-test" in caplog.text
    assert len(Session.made) == 2
    shutil.rmtree(gpu)
    monkeypatch.setattr(Session, "damage", staticmethod(spotted))
    with pytest.raises(ModelError, match=r"in f32 failed its self-test.* grey levels"):
        Fuser(load_backend(fusion, NAMES[0]))(*pair())
    assert not list(gpu.rglob("*.engine"))


def test_a_fall_back_to_the_cpu_is_an_error(
    gpu: Path, fusion: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "falls_back", True)
    with pytest.raises(BackendError, match="fell back to CPUExecutionProvider: TensorrtExecutionProvider"):
        Fuser(load_backend(fusion, NAMES[0]))(*pair())


def test_a_detector_reads_the_image_itself(gpu: Path, tmp_path: Path) -> None:
    config = DetectionConfig(confidence=0.5, iou=0.6)
    for thermal in (False, True):
        model = write_detector(tmp_path / f"{thermal}.onnx", gain=80.0, thermal=thermal)
        grey, rgb = pair(SIDES)
        found = Detector(load_backend(model, NAMES[0], precision="f32"), config)(rgb, thermal=grey)
        expected = Detector(load_backend(model, "onnxruntime"), config)(rgb, thermal=grey)
        assert len(found) == len(expected) > 3
        np.testing.assert_allclose(found.boxes_xyxy, expected.boxes_xyxy, atol=0.7)


def test_sizes_that_are_kept_are_known_and_do_not_pile_up(gpu: Path, fusion: Path) -> None:
    backend = load_backend(fusion, NAMES[0])
    sizes = [(16, 16), (24, 16), (32, 16), (40, 16), (48, 16)]
    for size in sizes:
        Fuser(backend)(*pair(size))
    assert len(backend._sessions) == 4
    assert sorted(backend.kept_sizes()) == sizes
    assert load_backend(fusion, NAMES[0], precision="f32").kept_sizes() == []
    with pytest.raises(ModelError, match="expected images of one size"):
        backend.run({"thermal": pair()[0][None], "rgb": pair((16, 16))[1][None]})


def test_what_is_missing_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the ONNX Runtime that is installed: no stand-in."""
    if "TensorrtExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has TensorRT's provider")
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_nv_tensorrt_rtx", None)
    providers._registered.cache_clear()
    status = available_backends()
    assert not any(status[name].usable for name in NAMES)
    text = status[NAMES[0]].detail
    assert "has no TensorrtExecutionProvider, only" in text and "CPUExecutionProvider" in text
    assert "pip uninstall onnxruntime, then pip install onnxruntime-gpu" in text
    assert "run: pip install onnxruntime-ep-nv-tensorrt-rtx-cu13" in status[NAMES[1]].detail
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_nv_tensorrt_rtx", PLUGIN)
    assert "ONNX Runtime cannot load /x.so" in available_backends()[NAMES[1]].detail


def statuses(**usable: bool) -> dict[str, BackendStatus]:
    names = ("openvino", "onnxruntime", "torch", "tensorrt", *NAMES)
    return {name: BackendStatus(usable.get(name, False), f"{name} is missing") for name in names}


def test_doctor_recommends_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> cuda.Gpu:
        raise BackendError("there is no NVIDIA GPU on this machine")

    from ivfusion_ros.commands import doctor

    monkeypatch.setattr(doctor, "find_gpu", none)
    monkeypatch.setattr(doctor, "resolve_backend", lambda: "openvino")
    assert recommend(statuses()) == "openvino, as auto does: there is no NVIDIA GPU on this machine"
    monkeypatch.setattr(doctor, "find_gpu", lambda: fake_gpu.GPU)
    assert recommend(statuses(tensorrt=True, onnxruntime_rtx=True)) == "tensorrt, as auto does"
    assert recommend(statuses(onnxruntime_tensorrt=True)) == (
        "fusion.backend and detection.backend onnxruntime_tensorrt, as tensorrt cannot run: tensorrt is "
        "missing"
    )
    text = recommend(statuses())
    assert text.startswith("to use the NVIDIA Test: ") and "onnxruntime-gpu" in text


def test_the_self_tests_are_those_of_engines() -> None:
    assert gpu_backend.self_test is self_test.self_test
    assert gpu_backend.check_half is self_test.check_half
