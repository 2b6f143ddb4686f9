"""One bad pair costs one pair: it is counted by reason with its stamps, and the others are fused."""

import dataclasses

import numpy as np
import pytest
from pipeline_samples import K, configure, rig_file
from sample_frames import make_frames

from ivfusion_ros.errors import ModelError
from ivfusion_ros.geometry.camera import CameraModel
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.pipeline.replay import Replay
from ivfusion_ros.pipeline.skips import MAX_REASONS, MAX_STAMPS, OTHER_REASONS, Skips
from ivfusion_ros.sync.synchronizer import Synchronizer
from ivfusion_ros.types import CameraInfo, Header

PAIRS, BAD = 6, 3


def replay(config, change):
    """Stamps of the results, and the report, of PAIRS pairs whose number BAD is changed."""
    frames = list(make_frames(PAIRS))
    frames[2 * BAD : 2 * BAD + 2] = map(change, frames[2 * BAD : 2 * BAD + 2])
    with build_pipeline(config) as pipeline:
        run = Replay(Synchronizer(config), pipeline)
        return [result.stamp_ns for result in run.results(iter(frames))], run.report()


def test_a_frame_of_another_aspect_ratio_costs_its_pair(tmp_path, blend_model) -> None:
    camera = CameraModel((96, 64), np.array(K).reshape(3, 3), "plumb_bob", np.zeros(0))
    config = configure(blend_model, registration=rig_file(tmp_path, thermal=camera, rgb=camera))

    def change(item):
        camera, frame = item
        return camera, dataclasses.replace(frame, image=frame.image[:32].copy())

    stamps, report = replay(config, change)
    frames = [frame.stamp_ns for camera, frame in make_frames(PAIRS) if camera == "rgb"]
    assert stamps == frames[:BAD] + frames[BAD + 1 :]
    ((reason, count),) = report["failed_pairs"].items()
    assert "same aspect ratio" in reason and count == 1
    assert report["failed_stamps_ns"] == {
        reason: [{"thermal": frames[BAD] + 4_000_000, "rgb": frames[BAD]}]
    }


def test_a_damaged_camera_info_costs_its_pair(tmp_path, blend_model) -> None:
    good = CameraInfo(96, 64, k=K)
    config = configure(blend_model, registration=rig_file(tmp_path))

    def change(item):
        return item[0], dataclasses.replace(item[1], camera_info=CameraInfo(96, 64, k=(np.nan,) * 9))

    frames = [
        (camera, dataclasses.replace(frame, camera_info=good)) for camera, frame in make_frames(PAIRS)
    ]
    frames[2 * BAD : 2 * BAD + 2] = map(change, frames[2 * BAD : 2 * BAD + 2])
    with build_pipeline(config) as pipeline:
        run = Replay(Synchronizer(config), pipeline)
        assert len(list(run.results(iter(frames)))) == PAIRS - 1
    assert sum(run.skips.counts.values()) == 1


@pytest.mark.parametrize("half", ["begin", "look"])
@pytest.mark.parametrize("error", [ModelError("no"), ValueError("a\nb"), MemoryError()])
def test_whatever_one_pair_raises_the_others_come(blend_model, box_model, monkeypatch, half, error) -> None:
    config = configure(blend_model, box_model)
    with build_pipeline(config) as pipeline:
        work, calls = getattr(pipeline, half), iter(range(PAIRS))

        def fail_once(given):
            if next(calls) == BAD:
                raise error
            return work(given)

        monkeypatch.setattr(pipeline, half, fail_once)
        run = Replay(Synchronizer(config), pipeline)
        assert len(list(run.results(make_frames(PAIRS)))) == PAIRS - 1
    (reason,) = run.skips.counts
    assert reason in ("no", "defect of this package: ValueError: a b", "out of memory")


def test_reasons_and_stamps_are_bounded() -> None:
    skips = Skips()
    for index in range(10 * MAX_REASONS):
        skips.add(ModelError(f"value {index}"), rgb=Header(index))
    assert len(skips.counts) == MAX_REASONS + 1
    assert sum(skips.counts.values()) == 10 * MAX_REASONS
    assert len(skips.report()["failed_stamps_ns"][OTHER_REASONS]) == MAX_STAMPS


def test_a_model_that_gives_black_images_is_said_aloud(blend_model, tmp_path) -> None:
    """As one with NaN weights does, once they are bytes."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(blend_model)
    (two,) = (item for item in model.graph.initializer if item.name == "two")
    two.CopyFrom(onnx.numpy_helper.from_array(np.array(1000, np.int32), "two"))
    onnx.save(model, tmp_path / "black.onnx")
    config = configure(tmp_path / "black.onnx")
    with build_pipeline(config) as pipeline:
        run = Replay(Synchronizer(config), pipeline)
        assert list(run.results(make_frames(PAIRS))) == []
    ((reason, count),) = run.skips.counts.items()
    assert count == PAIRS and "one grey level, 0" in reason
