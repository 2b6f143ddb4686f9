"""`ivfusion fuse` and `ivfusion detect`: what they read, what they never write over, their options."""

import json
from pathlib import Path

import numpy as np
import pytest

from ivfusion_ros.backends import load_backend
from ivfusion_ros.cli import main
from ivfusion_ros.errors import ImageError
from ivfusion_ros.images.files import read_image, write_image
from ivfusion_ros.pipeline.fuser import Fuser


@pytest.fixture
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with pairs a and b and an image without partner in each of thermal/ and rgb/."""
    monkeypatch.chdir(tmp_path)
    for camera, shape in (("thermal", (64, 96)), ("rgb", (64, 96, 3))):
        (tmp_path / camera).mkdir()
        for index, name in enumerate(("a", "b", f"only_{camera}")):
            write_image(tmp_path / camera / f"{name}.png", np.full(shape, 50 * index, np.uint8))
    return tmp_path


@pytest.fixture
def fuse(blend_model: Path, capsys: pytest.CaptureFixture[str]):
    """Run `ivfusion fuse`: (status, what it wrote to standard error)."""

    def call(*words: str) -> tuple[int, str]:
        status = main(["fuse", *words, "--model", str(blend_model), "--backend", "onnxruntime"])
        return status, capsys.readouterr().err

    return call


@pytest.fixture
def detect(box_model: Path, capsys: pytest.CaptureFixture[str]):
    """Run `ivfusion detect`: (status, what it wrote to standard error)."""

    def call(*words: str) -> tuple[int, str]:
        status = main(["detect", *words, "--detector", str(box_model), "--backend", "onnxruntime"])
        return status, capsys.readouterr().err

    return call


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_inputs_are_never_written_over(pairs: Path, fuse, detect) -> None:
    (pairs / "link").symlink_to("rgb", target_is_directory=True)
    before = contents(pairs)
    for words in (
        ("thermal/a.png", "rgb/a.png", "rgb/a.png"),
        ("thermal/a.png", "rgb/a.png", "thermal"),
        ("thermal/a.png", "rgb/a.png", "link/a.png"),
        ("thermal", "rgb", "rgb"),
        ("thermal", "rgb", "./link/../thermal"),
        ("thermal", "rgb", "link"),
    ):
        status, error = fuse(*words)
        assert status == 7 and "is an input too" in error, words
    for words in (("rgb", "rgb"), ("rgb", "link"), ("rgb/a.png", "rgb")):
        status, error = detect(*words)
        assert status == 7 and "is an input too" in error, words
    assert contents(pairs) == before


def test_images_without_a_partner_are_named(pairs: Path, fuse) -> None:
    status, error = fuse("thermal", "rgb", "new/fused")
    assert status == 0 and "2 (only_rgb, only_thermal)" in error and "pairs fused: 2" in error
    assert sorted(path.name for path in (pairs / "new" / "fused").iterdir()) == ["a.png", "b.png"]


def test_a_page_of_the_pairs(pairs: Path, fuse) -> None:
    pytest.importorskip("jinja2", reason="needs jinja2")
    (pairs / "thermal" / "b.png").write_bytes(b"damaged")
    status, _ = fuse("thermal", "rgb", "fused", "--html", "page.html")
    page = (pairs / "page.html").read_text(encoding="utf-8")
    assert status != 0 and '<th scope="row">skipped</th><td>1</td>' in page
    assert page.count("data:image/webp") == 3 and '"title": "a"' in page


def test_figures_of_fuse_and_detect_as_json(pairs: Path, blend_model, box_model, capsys) -> None:
    (pairs / "thermal" / "b.png").write_bytes(b"damaged")
    models = ["--backend", "onnxruntime", "--json"]
    assert main(["fuse", "thermal", "rgb", "fused", "--model", str(blend_model), *models, "-"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert (told["pairs"], told["skipped"], sum(told["skip_reasons"].values())) == (1, 1, 1)
    (row,) = told["results"]
    assert row["pair"] == "a" and Path(row["file"]).is_file() and row["size"] == [96, 64]
    assert told["stages_ms"]["fuse"]["median"] == pytest.approx(row["stages_ms"]["fuse"], abs=0.01)
    words = ["detect", "rgb", "found", "--detector", str(box_model), *models]
    assert main([*words, "found.json"]) == 0
    told = json.loads((pairs / "found.json").read_text())
    assert told["images"] == len(told["results"]) == 3 and told["skipped"] == 0
    written = json.loads((pairs / "found" / "detections.json").read_text())
    assert {row["image"]: row["detections"] for row in told["results"]} == written
    assert sum(told["detections"].values()) == sum(map(len, written.values())) > 0
    assert "by ONNX Runtime" in told["models"]["detection"]


def test_what_is_missing_is_named(pairs: Path, fuse) -> None:
    status, error = fuse("nope", "rgb", "out")
    assert status == 7 and "there is no file or folder nope" in error
    assert fuse("thermal/a.png", "rgb", "out")[1].endswith("must be two files or two folders\n")
    assert not (pairs / "out").exists()


def test_counts_of_16_bits_are_stretched_each_image_on_its_own(pairs: Path, detect) -> None:
    ramp = np.linspace(0, 1000, 64 * 96).reshape(64, 96)
    for name, base in (("cold", 20000), ("hot", 40000)):
        (pairs / "counts").mkdir(exist_ok=True)
        write_image(pairs / "counts" / f"{name}.png", (base + ramp).astype(np.uint16))
    assert detect("counts", "found")[0] == 0
    cold, hot = (read_image(pairs / "found" / f"{name}.png") for name in ("cold", "hot"))
    assert cold.dtype == np.uint8 and cold[0, 0].max() == 0 and cold[-1, -1].min() == 255
    np.testing.assert_allclose(cold.astype(int), hot, atol=1)
    assert len(json.loads((pairs / "found" / "detections.json").read_text())["hot.png"]) == 1


def test_detect_writes_into_folders_only(pairs: Path, detect) -> None:
    for output in ("det.png", "thermal/a.png"):
        status, error = detect("rgb", output)
        assert status == 7 and f"the output is {output}, expected a folder" in error
    (pairs / "torn.png").write_bytes(b"torn")
    assert detect("torn.png", "found")[0] == 3
    assert not (pairs / "det.png").exists() and not (pairs / "found").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["fuse", "a", "b", "c", "--detector", "yolov5n"],
        ["detect", "a", "b", "--model", "mst"],
        ["detect", "a", "b", "--backend", "torch"],
    ],
)
def test_options_that_would_do_nothing_are_no_options(words: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2


@pytest.mark.parametrize(
    ("words", "setting"),
    [
        (["fuse", "a", "b", "c"], "detection.iou=0.5"),
        (["fuse", "a", "b", "c"], "tracking.tracker=off"),
        (["detect", "a", "b"], "fusion.model=mst"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(words: list[str], setting: str, capsys) -> None:
    assert main([*words, "--set", setting]) == 2
    assert (
        f"--set {setting.partition('=')[0]} does nothing in `ivfusion {words[0]}`"
        in capsys.readouterr().err
    )


def test_a_shared_file_may_set_them(pairs: Path, fuse) -> None:
    (pairs / "robot.yaml").write_text(
        "detection.iou: 0.5\ntracking: {tracker: off}\nnode: {autostart: true}\n"
    )
    assert fuse("thermal", "rgb", "fused", "--config", "robot.yaml")[0] == 0


@pytest.mark.parametrize(
    ("thermal", "rgb"),
    [
        (np.zeros((64, 96), np.float32), np.zeros((64, 96, 3), np.uint8)),
        (np.zeros((64, 96), np.uint8), np.zeros((64, 96, 3), np.uint16)),
        (np.zeros((64, 96), np.uint8), np.zeros((64, 96), np.uint8)),
        (np.zeros((64, 96, 3), np.uint8), np.zeros((64, 96, 3), np.uint8)),
        (np.zeros((64, 95), np.uint8), np.zeros((64, 96, 3), np.uint8)),
    ],
)
def test_images_that_no_model_takes(blend_model: Path, thermal: np.ndarray, rgb: np.ndarray) -> None:
    fuser = Fuser(load_backend(blend_model, "onnxruntime"))
    with pytest.raises(ImageError, match=r"cannot fuse thermal .* expected uint8"):
        fuser(thermal, rgb)


def test_fuse_pairs_folders_by_time_where_stamps_are_said(fuse, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for camera, names in (("thermal", (1_000, 1_100, 1_200)), ("rgb", (1_003, 1_103, 1_303))):
        (tmp_path / camera).mkdir()
        for name in names:
            pixels = np.full((64, 96) if camera == "thermal" else (64, 96, 3), name % 200, np.uint8)
            write_image(tmp_path / camera / f"{name}.png", pixels)
    status, said = fuse("thermal", "rgb", "out")
    assert status == 7 and "--stamps names" in said
    status, said = fuse("thermal", "rgb", "out", "--stamps", "names:ms")
    assert status == 0, said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "1003000000.png",
        "1103000000.png",
    ]
