"""What Python users import from the package's top."""

import doctest
import json
import os
import sys

import cv2
import numpy as np
import pytest
from places import ROOT
from sample_frames import make_frames

import ivfusion_ros as iv
from ivfusion_ros.bags import BagWriter
from ivfusion_ros.commands.replay import Outputs, replay_source
from ivfusion_ros.config import PipelineConfig, make_config
from ivfusion_ros.errors import ConfigError, DataError, ImageError
from ivfusion_ros.images.files import write_image
from ivfusion_ros.simulate import SceneConfig, Simulator
from ivfusion_ros.sources import SourceOptions
from ivfusion_ros.types import CAMERAS, Detections, Frame, FramePair, FusionResult

PLAIN = {"fusion.model": "mst", "detection.model": ""}
RANDOM = np.random.default_rng(3)
THERMAL = RANDOM.integers(0, 256, (48, 64), np.uint8)
RGB = RANDOM.integers(0, 256, (48, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def fused():
    return iv.fuse(THERMAL, RGB, PLAIN)


def test_fuse_is_the_pipeline_of_the_node(fused) -> None:
    from ivfusion_ros.pipeline import build_pipeline

    with build_pipeline(make_config(PipelineConfig, PLAIN)) as pipeline:
        expected = pipeline.process(FramePair(Frame(THERMAL, 0), Frame(RGB, 0)))
    assert np.array_equal(fused.fused, expected.fused)
    assert fused.size == (64, 48) and fused.detections is None


def test_a_call_knows_nothing_of_the_one_before() -> None:
    counts = RANDOM.integers(29000, 31000, (48, 64), np.uint16)
    alone = iv.fuse(counts, RGB, PLAIN).thermal
    iv.fuse(counts // 2, RGB, PLAIN)
    assert np.array_equal(iv.fuse(counts, RGB, PLAIN).thermal, alone)


def test_models_are_loaded_once(monkeypatch, fused) -> None:
    def refuse(_config):
        raise AssertionError("loaded again")

    iv.fuse(THERMAL, RGB, PLAIN)
    monkeypatch.setattr("ivfusion_ros.api.pipeline.build_pipeline", refuse)
    assert np.array_equal(iv.fuse(THERMAL, RGB, PLAIN).fused, fused.fused)


def test_other_parameters_release_the_models_before(monkeypatch) -> None:
    closed = []
    close = iv.Pipeline.close
    monkeypatch.setattr(iv.Pipeline, "close", lambda self: (closed.append(self.config), close(self)))
    iv.fuse(THERMAL, RGB, PLAIN)
    closed.clear()
    iv.fuse(THERMAL, RGB, {**PLAIN, "fusion.strength": 0.5})
    assert [config.fusion.strength for config in closed] == [1.0]


def test_paths_and_images_of_pillow_are_arrays_too(tmp_path, fused) -> None:
    write_image(tmp_path / "t.png", THERMAL)
    write_image(tmp_path / "r.png", RGB)
    assert np.array_equal(iv.fuse(tmp_path / "t.png", str(tmp_path / "r.png"), PLAIN).fused, fused.fused)
    pillow = pytest.importorskip("PIL.Image", reason="needs Pillow")
    transparent = pillow.fromarray(RGB).convert("RGBA")
    assert np.array_equal(iv.fuse(pillow.fromarray(THERMAL), transparent, PLAIN).fused, fused.fused)


@pytest.mark.parametrize(
    ("thermal", "expected"),
    [
        ([[1, 2]], "the thermal image is a list, expected an array, an image of Pillow or a path"),
        (THERMAL.astype(np.int64), "int64"),
        ("none.png", "none.png"),
    ],
)
def test_what_is_no_image_is_refused(thermal, expected) -> None:
    with pytest.raises(ImageError, match=expected):
        iv.fuse(thermal, RGB, PLAIN)


def test_a_wrong_parameter_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"did you mean fusion\.model"):
        iv.fuse(THERMAL, RGB, {"fusion.modell": "mst"})


def found(result: FusionResult) -> iv.Result:
    detections = Detections(
        np.array([[4, 4, 20, 40]], np.float32),
        np.array([0.75], np.float32),
        np.array([0]),
        ("<person>",),
        track_ids=np.array([7]),
    )
    return iv.Result(**{**vars(result), "detections": detections})


def test_a_result_as_json(fused) -> None:
    told = json.loads(json.dumps(found(fused).to_dict()))
    (row,) = told["detections"]
    assert row == {"class": "<person>", "score": 0.75, "box_xyxy": [4, 4, 20, 40], "track": 7}
    assert told["size"] == [64, 48] and told["mode"] == "fused" and set(told["timings_ms"]) >= {"fuse"}
    assert fused.to_dict()["detections"] is None


def test_a_result_as_a_file(tmp_path, fused) -> None:
    found(fused).save(tmp_path / "plain.png")
    found(fused).save(tmp_path / "boxes.png", boxes=True)
    plain, boxes = (cv2.imread(str(tmp_path / f"{name}.png"))[..., ::-1] for name in ("plain", "boxes"))
    assert np.array_equal(plain, fused.fused)
    changed = (boxes != plain).any(2)
    # The box and its label, nothing else.
    assert changed[4, 5:20].all() and not changed[:, 45:].any()


def test_a_result_in_a_notebook(fused) -> None:
    html = found(fused)._repr_html_()
    assert html.count('src="data:image/jpeg;base64,') == 3
    assert "<td>&lt;person&gt;</td><td>0.75</td><td>7</td>" in html
    assert "<table>" not in fused._repr_html_()


def test_a_plot_has_three_pictures(monkeypatch, fused) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="needs matplotlib")
    figure = found(fused).plot()
    panels = {axes.get_title(): axes.images[0].get_array() for axes in figure.axes}
    pyplot.close(figure)
    assert list(panels) == ["thermal", "RGB", "fused"]
    assert np.array_equal(panels["RGB"], RGB) and np.array_equal(panels["fused"], found(fused).picture())


def test_a_window_needs_a_display(monkeypatch, fused) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="needs matplotlib")
    monkeypatch.setattr(pyplot, "get_backend", lambda: "agg")
    with pytest.raises(ConfigError, match=r"no display to show a window on; use save\(\)"):
        fused.show()


def test_the_names_are_there_for_completion() -> None:
    assert {"fuse", "open", "Pipeline", "Result", "__version__"} <= set(dir(iv))


def test_without_matplotlib_a_plot_says_what_to_install(monkeypatch, fused) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match="pip install matplotlib"):
        fused.plot()


def write_bag(path, frames) -> None:
    with BagWriter(path) as writer:
        for camera, frame in frames:
            writer.write_frame(camera, frame)


def test_a_recording_gives_what_replay_gives(tmp_path) -> None:
    write_bag(tmp_path / "in.mcap", make_frames(5))
    replay_source(
        [tmp_path / "in.mcap"],
        Outputs(tmp_path / "out.mcap", originals=True),
        make_config(PipelineConfig, PLAIN),
    )
    with iv.open(tmp_path / "in.mcap") as recording, iv.Pipeline(PLAIN) as pipeline:
        results = [pipeline(pair) for pair in recording]
    from ivfusion_ros.bags import BagReader
    from ivfusion_ros.bags.messages import deserialize

    with BagReader(tmp_path / "out.mcap") as reader:
        messages = [
            deserialize(data, topic.type) for topic, _, data in reader.messages(["/fused/image_raw"])
        ]
    assert len(results) == len(messages) == 5
    for result, message in zip(results, messages, strict=True):
        assert np.array_equal(result.fused.ravel(), message.data)


def test_a_recording_without_pairs_says_why(tmp_path, caplog) -> None:
    for camera, shape in (("thermal", (8, 8)), ("rgb", (8, 8, 3))):
        (tmp_path / camera).mkdir()
        for index in range(3):
            write_image(tmp_path / camera / f"{index}.png", np.full(shape, 9 * index, np.uint8))
    options = SourceOptions(rate_hz=10.0)
    folders = (tmp_path / "thermal", tmp_path / "rgb")
    (tmp_path / "rgb" / "1.png").write_bytes(b"damaged")
    with iv.open(*folders, options=options) as recording:
        assert len(list(recording)) == 2
    assert "1.png" in caplog.text and "it is damaged" in caplog.text
    for index in (0, 2):
        (tmp_path / "rgb" / f"{index}.png").write_bytes(b"damaged")
    with (
        iv.open(*folders, options=options) as recording,
        pytest.raises(DataError, match=r"no thermal frame.*0\.png.*2\.png.*damaged"),
    ):
        list(recording)


def test_a_pipeline_of_the_node_s_file(fused) -> None:
    with iv.Pipeline.from_yaml(ROOT / "config" / "fusion.yaml", PLAIN) as pipeline:
        assert pipeline.config.fusion.model == "mst"
        assert np.array_equal(pipeline.fuse(THERMAL, RGB).fused, fused.fused)


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="docs/ is not beside the tests")
def test_the_page_says_what_happens(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    simulator = Simulator(SceneConfig())
    thermal, rgb = (simulator.frame(4.0, camera) for camera in CAMERAS)
    write_image("thermal.png", thermal.image)
    write_image("rgb.png", rgb.image)
    write_bag(
        "drive.mcap",
        (
            (camera, Frame(frame.image, frame.stamp_ns + index * 10**8, frame.frame_id))
            for index in range(4)
            for camera, frame in (("thermal", thermal), ("rgb", rgb))
        ),
    )
    failures, tried = doctest.testfile(os.fspath(ROOT / "docs" / "python.md"), module_relative=False)
    assert tried >= 8 and not failures


def test_what_is_no_configuration_or_file_is_told(tmp_path, fused) -> None:
    for config in ("fusion.yaml", ["fusion.yaml"], 3):
        with pytest.raises(ConfigError, match="expected a mapping of names to values"):
            iv.fuse(THERMAL, RGB, config)
    with pytest.raises(ConfigError, match="the file is None, expected a path"):
        iv.Pipeline.from_yaml(None)
    with pytest.raises(ImageError, match="not a file's name"):
        fused.save("a\0b.png")


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_a_matrix_is_an_image_as_an_array_is(fused) -> None:
    assert np.array_equal(iv.fuse(np.matrix(THERMAL), RGB, PLAIN).fused, fused.fused)
