"""The TensorRT backend: buffers, streams and engines on a fake GPU, and on a real one if there is one."""

import logging
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

import fake_gpu
from gpu_samples import close, pair, same_objects
from small_models import SIDES, write_detector, write_fusion

from ivfusion_ros.backends import available_backends, cuda, load_backend, resolve_backend
from ivfusion_ros.backends.device import DeviceBackend
from ivfusion_ros.backends.tensorrt import backend as tensorrt
from ivfusion_ros.backends.tensorrt import make
from ivfusion_ros.backends.tensorrt.library import load_library
from ivfusion_ros.backends.tensorrt.session import Lane, Session
from ivfusion_ros.config.parameters import make_config
from ivfusion_ros.config.pipeline import DetectionConfig, PipelineConfig
from ivfusion_ros.detection import Detector
from ivfusion_ros.errors import BackendError, ModelError
from ivfusion_ros.models import resolve_model
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.pipeline.fuser import Fuser
from ivfusion_ros.pipeline.overlap import THREAD_NAME, Overlap
from ivfusion_ros.types import Frame, FramePair

PATIENCE_S = 20.0
CONFIG = DetectionConfig(confidence=0.5, iou=0.6)
pytestmark = pytest.mark.usefixtures("engines")


def test_each_run_gives_its_own_image(fusion: Path, tally: fake_gpu.Tally) -> None:
    fuser, reference = Fuser(load_backend(fusion, "tensorrt")), Fuser(load_backend(fusion, "onnxruntime"))
    kept = [(fuser(*pair(seed)), reference(*pair(seed))) for seed in range(7)]
    assert all(close(*images) for images in kept)
    assert len({images[0].tobytes() for images in kept}) == 7
    # Two self-test runs of another session aside: three to warm up, one recording, then launches alone.
    assert tally.graphs == 1 and tally.launches == 4
    fuser.backend.close()
    assert not tally.alive


def check_pipelines_agree(fusion: Path, finder: Path, count: int) -> None:
    """TensorRT's and ONNX Runtime's give the same images and objects for so many pairs."""
    with (
        make_pipeline(fusion, finder, "tensorrt") as pipeline,
        make_pipeline(fusion, finder, "onnxruntime") as reference,
    ):
        for seed in range(count):
            thermal, rgb = pair(seed, (96, 64))
            frames = FramePair(Frame(thermal, seed * 10**9), Frame(rgb, seed * 10**9))
            found, expected = pipeline.process(frames), reference.process(frames)
            assert close(found.fused, expected.fused)
            assert same_objects(found.detections, expected.detections)


def test_where_memory_is_one_nothing_is_copied(
    fusion: Path, keen_finder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tally = fake_gpu.install(monkeypatch, fake_gpu.JETSON)
    check_pipelines_agree(fusion, keen_finder, 6)
    assert (tally.uploads, tally.downloads) == (0, 0)
    # The fused image, into the input of the detector's graph.
    assert tally.copies == 6
    assert not tally.alive


@pytest.mark.parametrize("gpu", [fake_gpu.GPU, fake_gpu.JETSON], ids=["own memory", "unified"])
def test_a_run_reads_its_own_images_though_the_next_ones_came(
    fusion: Path, monkeypatch: pytest.MonkeyPatch, gpu: cuda.Gpu
) -> None:
    fake_gpu.install(monkeypatch, gpu)
    builder = make.EngineBuilder.here(fake_gpu.LIBRARY, gpu)
    plan = builder.engine(fusion, (48, 32), half=False).plan
    lane = Lane()
    first, second = (Session(plan, fake_gpu.LIBRARY, lane, unified=gpu.unified) for _ in range(2))
    reference = Fuser(load_backend(fusion, "onnxruntime"))
    for seed in range(0, 10, 2):
        old, new = pair(seed), pair(seed + 1)
        fused = first.launch({"thermal": old[0][None], "rgb": old[1][None]})["fused"]
        second.launch({"thermal": old[0][None], "rgb": fused})
        first.launch({"thermal": new[0][None], "rgb": new[1][None]})
        assert close(second.fetch()["fused"][0], reference(old[0], reference(*old)))
        assert close(first.fetch()["fused"][0], reference(*new))
    for part in (second, first):
        part.close()
    lane.free()


def test_sizes_each_have_an_engine_and_do_not_pile_up(
    fusion: Path, tally: fake_gpu.Tally, engines: Path
) -> None:
    backend = load_backend(fusion, "tensorrt")
    fuser, reference = Fuser(backend), Fuser(load_backend(fusion, "onnxruntime"))
    resources = []
    for width in (16, 24, 32, 40, 48, 56, 16):
        images = pair(1, (width, 16))
        assert close(fuser(*images), reference(*images))
        resources.append(len(tally.alive))
    assert resources == sorted(resources) and resources[3:] == [resources[3]] * 4
    assert len(list(engines.glob("*.engine"))) == 6
    backend.close()
    assert not tally.alive


def test_precision_and_fallback_are_said(
    fusion: Path, tmp_path: Path, tally: fake_gpu.Tally, caplog: pytest.LogCaptureFixture
) -> None:
    loud = write_fusion(tmp_path / "loud.onnx", gain=1e6)
    for model, precision, runs_in in (
        (fusion, "auto", "f16"),
        (fusion, "f32", "f32"),
        (loud, "auto", "f32"),
    ):
        caplog.clear()
        backend = load_backend(model, "tensorrt", precision=precision)
        with caplog.at_level(logging.WARNING):
            Fuser(backend)(*pair(0))
        builder = make.EngineBuilder.here(fake_gpu.LIBRARY, fake_gpu.GPU)
        record = builder.engine(model, (48, 32), half=precision == "auto").record
        assert record.runs_in == runs_in and "mean error" in record.check
        assert ("loud.onnx runs in f32" in caplog.text) == bool(record.fallback) == (model == loud)
        backend.close()


def test_a_refused_engine_is_built_again_once(
    fusion: Path, tally: fake_gpu.Tally, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    builds = []

    def build(graph, library, **options):
        builds.append(len(builds))
        return fake_gpu.BROKEN + bytes(9)

    load_backend(fusion, "tensorrt").run(
        inputs := dict(zip(("thermal", "rgb"), ([x[None] for x in pair(0)]), strict=True))
    )
    path = next(Path(tensorrt.EngineBuilder.here(fake_gpu.LIBRARY, fake_gpu.GPU).folder).glob("*.engine"))
    builder = make.EngineBuilder.here(fake_gpu.LIBRARY, fake_gpu.GPU)
    _, record = make.read_plan(path, builder.key(fusion, (48, 32), True))
    broken = fake_gpu.BROKEN + b"old"
    digest = make.hashlib.sha256(broken).hexdigest()
    make.write_plan(path, broken, make.EngineRecord(**vars(record) | {"plan_sha256": digest}))
    with caplog.at_level(logging.WARNING):
        load_backend(fusion, "tensorrt").run(inputs)
    assert ": TensorRT 10.13.0 refuses the engine: Version tag does not match" in caplog.text
    make.write_plan(path, broken, make.EngineRecord(**vars(record) | {"plan_sha256": digest}))
    monkeypatch.setattr(make, "build_plan", build)
    backend = load_backend(fusion, "tensorrt")
    with pytest.raises(ModelError, match="refuses the engine: Version tag does not match"):
        backend.run(inputs)
    assert builds


def test_layers_are_timed_outside_of_the_graph(fusion: Path, tally: fake_gpu.Tally) -> None:
    backend = load_backend(fusion, "tensorrt")
    fuser, reference = Fuser(backend), Fuser(load_backend(fusion, "onnxruntime"))
    for seed in range(5):
        fuser(*pair(seed))
    inputs = dict(zip(("thermal", "rgb"), (image[None] for image in pair(0)), strict=True))
    layers = backend.profile(inputs, 4)
    assert [(layer.name, layer.milliseconds) for layer in layers] == [
        ("first + second", 0.5),
        ("third", 0.25),
    ]
    assert close(fuser(*pair(2)), reference(*pair(2)))
    backend.close()
    assert not tally.alive


def test_rtx_keeps_its_kernels(
    fusion: Path, tally: fake_gpu.Tally, engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = make.Library(fake_gpu.TENSORRT, "tensorrt_rtx", "1.7")
    monkeypatch.setattr(tensorrt, "load_library", lambda: library)
    reference = Fuser(load_backend(fusion, "onnxruntime"))
    fake_gpu.RuntimeConfig.taken.clear()
    for start in range(2):
        fuser = Fuser(load_backend(fusion, "tensorrt"))
        for seed in range(5):
            assert close(fuser(*pair(seed)), reference(*pair(seed)))
        assert fake_gpu.RuntimeConfig.taken == [b"kernels"] * start
        fuser.backend.close()
    (kernels,) = engines.glob("*.kernels")
    assert kernels.read_bytes() == b"kernels" and not tally.alive


@pytest.mark.parametrize("size", [SIDES, (200, 100), (80, 90)])
def test_detector_fits_the_image_on_the_gpu(finder: Path, tally: fake_gpu.Tally, size) -> None:
    _, rgb = pair(0, size)
    rgb = np.ascontiguousarray(np.repeat(np.repeat(rgb[::8, ::8], 8, 0), 8, 1)[: size[1], : size[0]])
    found = Detector(load_backend(finder, "tensorrt", precision="f32"), CONFIG)(rgb)
    expected = Detector(load_backend(finder, "onnxruntime"), CONFIG)(rgb)
    # OpenCV rounds what it scales to whole grey levels.
    assert same_objects(found, expected)
    np.testing.assert_allclose(found.scores, expected.scores, atol=0.01)


def test_detector_of_free_size(tmp_path: Path, tally: fake_gpu.Tally) -> None:
    model = write_detector(tmp_path / "free.onnx", free=True)
    _, rgb = pair(0, (640, 480))
    found = Detector(load_backend(model, "tensorrt", precision="f32"), CONFIG)(rgb)
    expected = Detector(load_backend(model, "onnxruntime"), CONFIG)(rgb)
    assert same_objects(found, expected)


def make_pipeline(fusion: Path, finder: Path, backend: str):
    settings = {
        "fusion.model": str(fusion), "fusion.backend": backend, "fusion.precision": "f32",
        "detection.model": str(finder), "detection.backend": backend, "detection.precision": "f32",
        "detection.confidence": 0.5, "detection.iou": 0.6, "faults.gate": False,
    }  # fmt: skip
    return build_pipeline(make_config(PipelineConfig, settings))


def test_the_fused_image_goes_to_the_detector_on_the_gpu(
    fusion: Path, keen_finder: Path, tally: fake_gpu.Tally
) -> None:
    with (
        make_pipeline(fusion, keen_finder, "tensorrt") as pipeline,
        make_pipeline(fusion, keen_finder, "onnxruntime") as reference,
    ):
        for seed in range(6):
            thermal, rgb = pair(seed, (96, 64))
            frames = FramePair(Frame(thermal, seed * 10**9), Frame(rgb, seed * 10**9))
            before = tally.uploads, tally.copies
            found, expected = pipeline.process(frames), reference.process(frames)
            assert close(found.fused, expected.fused)
            assert same_objects(found.detections, expected.detections)
            if seed > 0:
                # Thermal and RGB go up, the fused image is copied within the GPU, once.
                assert (tally.uploads - before[0], tally.copies - before[1]) == (2, 1)
    assert not tally.alive


def test_the_next_pair_is_prepared_while_the_gpu_works(
    fusion: Path, keen_finder: Path, tally: fake_gpu.Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work, prepared, threads = threading.Event(), threading.Event(), set()
    fetch, launch = Session.fetch, Session.launch

    def launched(session: Session, inputs):
        threads.add(threading.current_thread().name)
        return launch(session, inputs)

    def waited(session: Session):
        """The GPU is not done before the CPU has begun the next pair."""
        at_work.set()
        assert prepared.wait(PATIENCE_S), "the CPU waits for the GPU"
        return fetch(session)

    images = [pair(seed, (96, 64)) for seed in range(4)]
    pairs = [FramePair(Frame(t, i * 10**9), Frame(v, i * 10**9)) for i, (t, v) in enumerate(images)]
    with (
        make_pipeline(fusion, keen_finder, "tensorrt") as pipeline,
        make_pipeline(fusion, keen_finder, "onnxruntime") as reference,
    ):
        expected = [reference.process(frames) for frames in pairs]
        pipeline.process(pairs[0])
        pipeline.reset()
        monkeypatch.setattr(Session, "launch", launched)
        monkeypatch.setattr(Session, "fetch", waited)
        with Overlap(pipeline) as overlap:
            coming = [overlap.submit(pipeline.begin(pairs[0]))]
            assert at_work.wait(PATIENCE_S)
            rest = pipeline.begin(pairs[1])
            assert not coming[0].done()
            prepared.set()
            coming.append(overlap.submit(rest))
            coming += [overlap.submit(pipeline.begin(frames)) for frames in pairs[2:]]
            found = [one.result(PATIENCE_S) for one in coming]
    for one, other in zip(found, expected, strict=True):
        assert one.stamp_ns == other.stamp_ns and close(one.fused, other.fused)
        assert same_objects(one.detections, other.detections)
    assert threads == {THREAD_NAME}


def test_fusion_alone_overlaps_on_a_gpu_too(fusion: Path, tally: fake_gpu.Tally) -> None:
    settings = {"fusion.model": str(fusion), "fusion.precision": "f32", "detection.model": ""}
    for backend, overlaps in (("tensorrt", True), ("onnxruntime", False)):
        config = make_config(PipelineConfig, settings | {"fusion.backend": backend})
        with build_pipeline(config) as pipeline:
            assert (pipeline.on_gpu, pipeline.overlaps) == (overlaps, overlaps)


def test_another_image_is_uploaded(fusion: Path, keen_finder: Path, tally: fake_gpu.Tally) -> None:
    with make_pipeline(fusion, keen_finder, "tensorrt") as pipeline:
        reference = Detector(load_backend(keen_finder, "onnxruntime"), CONFIG)
        for seed in range(5):
            fused = pipeline.fuser(*pair(seed, (96, 64)))
            changed = 255 - fused
            assert pipeline.fuser.resident(fused) is not None and pipeline.fuser.resident(changed) is None
            found = pipeline.detector(changed, pipeline.fuser.resident(changed))
            assert same_objects(found, reference(changed))
            # What was started on the fused image is not mistaken for this one's result.
            assert same_objects(pipeline.detector(fused), reference(fused))


def test_a_detector_of_two_images_is_given_both(
    fusion: Path, tmp_path: Path, tally: fake_gpu.Tally
) -> None:
    two = write_detector(tmp_path / "two.onnx", gain=80.0, thermal=True)
    with (
        make_pipeline(fusion, two, "tensorrt") as pipeline,
        make_pipeline(fusion, two, "onnxruntime") as reference,
    ):
        for seed in range(4):
            thermal, rgb = pair(seed, (96, 64))
            frames = FramePair(Frame(thermal, seed * 10**9), Frame(rgb, seed * 10**9))
            before = tally.uploads, tally.copies
            found, expected = pipeline.process(frames), reference.process(frames)
            assert same_objects(found.detections, expected.detections)
            if seed > 0:
                # It does not start ahead: its thermal image is not there yet.
                assert (tally.uploads - before[0], tally.copies - before[1]) == (4, 0)
    assert not tally.alive


def test_the_cpu_backends_have_no_part_in_it(fusion: Path) -> None:
    fuser = Fuser(load_backend(fusion, "onnxruntime"))
    assert fuser.resident(fuser(*pair(0))) is None
    assert not isinstance(fuser.backend, DeviceBackend)


def test_wrong_inputs_and_a_closed_backend(fusion: Path, tally: fake_gpu.Tally) -> None:
    backend = load_backend(fusion, "tensorrt")
    images = {"thermal": pair(0)[0][None], "rgb": pair(0, (40, 32))[1][None]}
    with pytest.raises(ModelError, match=r"cannot run fusion.onnx: rgb is uint8 \(1, 32, 40, 3\)"):
        backend.run(images)
    with pytest.raises(ModelError, match="given the inputs thermal, expected thermal, rgb"):
        backend.run({"thermal": images["thermal"]})
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.run({"thermal": pair(0)[0][None], "rgb": pair(0)[1][None]})


def test_auto_takes_tensorrt_where_there_is_a_gpu(tally: fake_gpu.Tally, monkeypatch) -> None:
    assert resolve_backend() == "tensorrt"
    assert available_backends()["tensorrt"].detail == "TensorRT 10.13.0"
    monkeypatch.setattr(cuda, "find_gpu", lambda: make.BackendError)

    def no_gpu() -> None:
        raise BackendError("there is no NVIDIA GPU on this machine")

    monkeypatch.setattr(cuda, "find_gpu", no_gpu)
    assert resolve_backend() != "tensorrt"
    assert available_backends()["tensorrt"] == (False, "there is no NVIDIA GPU on this machine")


def test_without_tensorrt_the_error_says_what_to_install(fusion: Path, monkeypatch) -> None:
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BackendError, match=r"no TensorRT here .*pip install tensorrt_rtx_cu13"):
        load_backend(fusion, "tensorrt")
    monkeypatch.setattr("ivfusion_ros.backends.tensorrt.library.is_jetson", lambda: True)
    with pytest.raises(BackendError, match="sudo apt install python3-libnvinfer"):
        load_backend(fusion, "tensorrt")


def test_old_and_empty_tensorrt_are_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", type(sys)("tensorrt"))
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(BackendError, match="an empty package"):
        load_library()
    sys.modules["tensorrt"].__version__ = "8.6.1"
    with pytest.raises(BackendError, match=r"version 8.6.1, expected 10.3 or newer"):
        load_library()
    sys.modules["tensorrt"].__version__ = "11.4.0.106"
    assert load_library().title == "TensorRT 11.4.0.106"


def test_rtx_does_not_take_a_gpu_it_is_not_made_for(monkeypatch) -> None:
    library = make.Library(fake_gpu.TENSORRT, "tensorrt_rtx", "1.7")
    assert [library.supports(x) for x in ((7, 5), (8, 7), (9, 0), (10, 0), (12, 0))] == [
        True, True, False, False, True,
    ]  # fmt: skip
    hopper = cuda.Gpu("NVIDIA H200", (9, 0), 2**37, (13, 0))
    with pytest.raises(BackendError, match=r"does not run on NVIDIA H200 .*9.0.*pip install tensorrt"):
        make.EngineBuilder.here(library, hopper)
    with pytest.raises(BackendError, match="only on the GPU that they are for"):
        make.EngineBuilder.here(fake_gpu.LIBRARY, None)


@pytest.mark.gpu
def test_on_a_gpu_models_give_what_onnxruntime_gives() -> None:
    status = available_backends()["tensorrt"]
    if not status.usable:
        pytest.skip(status.detail)
    for name in ("mst", "refinefuse", "refinefuse_lite", "mda", "transfusion"):
        path = resolve_model(name)
        reference = Fuser(load_backend(path, "onnxruntime"))
        for precision in ("auto", "f32"):
            fuser = Fuser(load_backend(path, "tensorrt", precision=precision))
            for seed in range(6):
                images = pair(seed, (320, 240))
                error = np.abs(fuser(*images).astype(int) - reference(*images).astype(int))
                assert error.mean() < 1.0, (name, precision, seed)
            fuser.backend.close()


@pytest.mark.gpu
def test_on_a_gpu_the_fused_image_goes_to_the_detector(fusion: Path, keen_finder: Path) -> None:
    status = available_backends()["tensorrt"]
    if not status.usable:
        pytest.skip(status.detail)
    check_pipelines_agree(fusion, keen_finder, 8)
