"""What fails on a GPU, emulated: what is given back, what is said, and what goes on."""

import logging
import threading
from pathlib import Path

import pytest

pytest.importorskip("onnx")

import fake_gpu
from gpu_samples import close, pair

from ivfusion_ros.backends import load_backend
from ivfusion_ros.backends.tensorrt import backend as tensorrt
from ivfusion_ros.backends.tensorrt import make
from ivfusion_ros.backends.tensorrt.session import Lane, Session
from ivfusion_ros.config.node import FusionNodeConfig
from ivfusion_ros.config.parameters import make_config
from ivfusion_ros.errors import BackendError, DeviceLostError
from ivfusion_ros.pipeline.fuser import Fuser
from ivfusion_ros.ros.streams import Job
from ivfusion_ros.ros.worker import Worker
from ivfusion_ros.types import Frame

PATIENCE_S = 20.0
pytestmark = pytest.mark.usefixtures("engines")


def test_without_a_graph_it_runs_all_the_same(fusion: Path, tally: fake_gpu.Tally, caplog) -> None:
    tally.captures = False
    fuser, reference = Fuser(load_backend(fusion, "tensorrt")), Fuser(load_backend(fusion, "onnxruntime"))
    for seed in range(6):
        assert close(fuser(*pair(seed)), reference(*pair(seed)))
    assert caplog.text.count("without a CUDA graph") == 1 and tally.launches == 0


def test_a_take_that_fails_gives_back_what_was_taken(
    fusion: Path, tally: fake_gpu.Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = make.Library(fake_gpu.TENSORRT, "tensorrt_rtx", "1.7")
    monkeypatch.setattr(tensorrt, "load_library", lambda: library)
    Fuser(load_backend(fusion, "tensorrt"))(*pair(0))
    plan = make.EngineBuilder.here(library, fake_gpu.GPU).engine(fusion, (48, 32), half=True).plan
    takes = 0
    for fails_at in range(1, 100):
        tally.__init__()
        fake_gpu.Stream.every.clear()
        tally.fails_at = fails_at
        try:
            lane = Lane()
        except BackendError:
            assert not tally.alive
            continue
        try:
            session = Session(plan, library, lane)
        except BackendError as error:
            assert "cudaErrorMemoryAllocation" in str(error) and len(tally.alive) == 3
            takes += 1
            continue
        session.close()
        lane.free()
        assert not tally.alive
        break
    # The workspace of RTX; images and three events.
    assert takes == 1 + 3 * 2 + 3


def test_a_backend_out_of_memory_runs_again_when_there_is_some(fusion: Path, tally: fake_gpu.Tally) -> None:
    backend = load_backend(fusion, "tensorrt")
    fuser, reference = Fuser(backend), Fuser(load_backend(fusion, "onnxruntime"))
    fuser(*pair(0))
    before = len(tally.alive)
    tally.fails_at = tally.taken + 5
    with pytest.raises(BackendError, match="cudaErrorMemoryAllocation"):
        fuser(*pair(0, (64, 48)))
    assert len(tally.alive) == before
    assert close(fuser(*pair(1)), reference(*pair(1)))
    assert close(fuser(*pair(0, (64, 48))), reference(*pair(0, (64, 48))))
    backend.close()
    assert not tally.alive


def test_a_lost_gpu_is_said_to_be_lost_and_closing_goes_on(
    fusion: Path, tally: fake_gpu.Tally, caplog: pytest.LogCaptureFixture
) -> None:
    fuser = Fuser(load_backend(fusion, "tensorrt"))
    for seed in range(3):
        fuser(*pair(seed))
    tally.lost = True
    # The fourth run would record a graph: no reason to go on without one.
    with pytest.raises(DeviceLostError):
        fuser(*pair(3))
    assert "without a CUDA graph" not in caplog.text
    fuser.backend.close()
    assert "not all of the GPU's memory was given back" in caplog.text
    with pytest.raises(BackendError, match="closed"):
        fuser(*pair(0))


def test_a_gpu_that_is_lost_while_it_records_is_lost(
    fusion: Path, tally: fake_gpu.Tally, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fuser = Fuser(load_backend(fusion, "tensorrt"))
    for seed in range(3):
        fuser(*pair(seed))

    def lose(*_: object) -> None:
        raise DeviceLostError("CUDA: cudaErrorIllegalAddress")

    monkeypatch.setattr(fake_gpu.Graph, "__init__", lose)
    # To go on call by call would hide it for the time being.
    with pytest.raises(DeviceLostError):
        fuser(*pair(3))
    assert "without a CUDA graph" not in caplog.text


def test_closing_waits_for_what_is_under_way(fusion: Path, tally: fake_gpu.Tally) -> None:
    plan = make.EngineBuilder.here(fake_gpu.LIBRARY, fake_gpu.GPU).engine(fusion, (48, 32), half=True).plan
    lane = Lane()
    session = Session(plan, fake_gpu.LIBRARY, lane)
    thermal, rgb = pair(0)
    session.launch({"thermal": thermal[None], "rgb": rgb[None]})
    assert any(stream.waiting for stream in fake_gpu.Stream.every.values())
    session.close()
    lane.free()
    assert not tally.alive


def test_what_a_recording_cannot_hold_ends_the_recording_alone(
    fusion: Path, tally: fake_gpu.Tally, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    enqueue = fake_gpu.Context.execute_async_v3

    def waits(context: fake_gpu.Context, stream: int) -> bool:
        if fake_gpu.Stream.every[stream].recording is not None:
            fake_gpu.Stream.every[stream].synchronize()
        return enqueue(context, stream)

    monkeypatch.setattr(fake_gpu.Context, "execute_async_v3", waits)
    fuser, reference = Fuser(load_backend(fusion, "tensorrt")), Fuser(load_backend(fusion, "onnxruntime"))
    for seed in range(6):
        assert close(fuser(*pair(seed)), reference(*pair(seed)))
    assert caplog.text.count("without a CUDA graph") == 1
    fuser.backend.close()
    assert not tally.alive


def test_a_gpu_that_is_lost_in_the_second_half_ends_the_worker(
    fusion: Path, tally: fake_gpu.Tally, caplog: pytest.LogCaptureFixture
) -> None:
    """What fails there comes with the result; the node hears of it all the same, once."""
    settings = {"fusion.model": str(fusion), "fusion.backend": "tensorrt", "detection.model": ""}
    came, lost = threading.Semaphore(0), threading.Semaphore(0)
    worker = Worker(
        make_config(FusionNodeConfig, settings),
        lambda *_: came.release(),
        logging.getLogger("node"),
        on_lost=lost.release,
    )
    assert worker.load(threading.Event.wait).on_gpu
    thermal, rgb = pair(0)
    worker.mailbox.put(Job(Frame(thermal, 0), Frame(rgb, 0)))
    assert came.acquire(timeout=PATIENCE_S)
    tally.lost = True
    worker.mailbox.put(Job(Frame(thermal, 10**9), Frame(rgb, 10**9)))
    assert lost.acquire(timeout=PATIENCE_S) and "cudaErrorIllegalAddress" in worker.lost
    worker.mailbox.put(Job(Frame(thermal, 2 * 10**9), Frame(rgb, 2 * 10**9)))
    assert worker.stop(PATIENCE_S) and (worker.done, worker.failed) == (1, 1)
    assert not lost.acquire(blocking=False)
