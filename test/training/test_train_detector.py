import csv
import dataclasses
import functools
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from ivfusion_ros.backends import load_backend
from ivfusion_ros.cli import main
from ivfusion_ros.commands import train as train_command
from ivfusion_ros.config.parameters import load_config
from ivfusion_ros.errors import ConfigError, DataError, ModelError
from ivfusion_ros.models import share_folder
from ivfusion_ros.training.detector.config import CameraConfig, DetectorConfig

torch = pytest.importorskip("torch")
pytest.importorskip("ultralytics")
pytest.importorskip("openvino")

from ivfusion_ros.export.detector import export_detector
from ivfusion_ros.training.detector.imitation import LAYERS, FeatureTeacher, ImitationLoss
from ivfusion_ros.training.detector.scenes import NightCamera, SceneLoader, SceneSampler
from ivfusion_ros.training.detector.state import STATE, State, data_identity, load_state
from ivfusion_ros.training.detector.trainer import DetectorTrainer
from ivfusion_ros.training.fusion.provenance import ORIGIN
from ivfusion_ros.training.recipe.recipe import read_recipe


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four scenes in two kinds, a bright person in each."""
    folder = tmp_path_factory.mktemp("set")
    random = np.random.default_rng(0)
    for part in ("train", "val"):
        for kind in ("rgb", "thermal"):
            for name in ("images", "labels"):
                (folder / name / part / kind).mkdir(parents=True)
            for number in range(4):
                image = random.integers(0, 60, (96, 128, 3), np.uint8)
                image[24:72, 32:48] = 220
                cv2.imwrite(str(folder / "images" / part / kind / f"{number}.png"), image)
                text = "0 0.3125 0.5 0.125 0.5\n"
                (folder / "labels" / part / kind / f"{number}.txt").write_text(text)
    names = {0: "person", 1: "car", 2: "bicycle"}
    content = {"path": str(folder), "train": "images/train", "val": "images/val", "names": names}
    (folder / "data.yaml").write_text(yaml.safe_dump(content))
    return folder


SMALL = {
    "image_size": 128,
    "crop_width": 96,
    "crop_height": 64,
    "batch": 2,
    "device": "cpu",
    "mosaic": 0.5,
    "workers": 0,
}


@pytest.mark.parametrize("name", ["yolov5n", "yolov5s", "yolov5n_cpu"])
def test_settings_that_ship_are_whole(name: str) -> None:
    config = load_config(DetectorConfig, share_folder("config") / "train" / f"{name}.yaml")
    assert config.detector == name.split("_")[0]


def test_a_setting_of_fusion_training_is_refused(data: Path, tmp_path: Path) -> None:
    words = ["train", "yolov5n", "--out", str(tmp_path), "--data", str(data)]
    assert main([*words, "--crop", "64"]) == ConfigError.exit_code
    assert main([*words, str(data)]) == ConfigError.exit_code


def test_a_memory_that_is_not_there_is_named_by_its_setting(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "yolov5n_coco", "--out", str(tmp_path), "--data", str(data), "--init", "yolov5n"]
    assert main([*words, "--set", "memory=nothere"]) == ModelError.exit_code
    assert "train: memory: nothere is no stage before it and no file" in capsys.readouterr().err


@pytest.mark.parametrize("start", ["yolov5n", "yolov5s", "final.pt", "coco.safetensors"])
def test_a_start_with_anchors_is_refused_by_another_head(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], start: str
) -> None:
    """It ended in an assertion of ultralytics about suffixes."""
    if "." in start:
        start = str(tmp_path / start)
        torch.save({"head": "anchors", "weights": {}}, start)
    run = tmp_path / "run"
    for more in ((), ("--dry-run",)):
        words = ["train", "yolov5n", "--out", str(run), "--data", str(data), "--init", start, *more]
        assert main(words) == ConfigError.exit_code
        told = capsys.readouterr().err
        assert "but head is anchor_free" in told
        assert "set head=anchors, or take the settings yolov5n_coco" in told
        assert not run.exists()


@pytest.mark.parametrize(
    ("given", "hours"),
    [
        (["--epochs", "1"], 0.0),
        (["--set", "epochs=1"], 0.0),
        (["--set", "epochs=1", "--set", "hours=0.5"], 0.5),
        ([], 0.75),
    ],
)
def test_epochs_that_are_given_end_the_hours_of_the_settings(
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: list[str],
    hours: float,
) -> None:
    """They were taken and had no effect: the file's hours won, and nothing said so."""
    recipes: list = []
    monkeypatch.setattr(train_command, "_tell", lambda *words: recipes.append(words[2]))
    assert main(["train", "yolov5n_coco", "--data", str(data), "--dry-run", *given]) == 0
    assert recipes[0].stages[0].config.hours == hours
    assert ("epochs are given: 1, so that hours are 0, not 0.75" in capsys.readouterr().err) == (hours == 0)


def test_epochs_that_are_given_end_the_hours_of_a_stage(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    stages = {"short": {"kind": "detector", "epochs": 2}, "long": {"kind": "detector"}}
    defaults = {"detector": {"hours": 0.75, "epochs": 9}}
    path.write_text(yaml.safe_dump({"stages": stages, "defaults": defaults}))
    hours = {stage.name: stage.config.hours for stage in read_recipe(path, {"long.epochs": 1}).stages}
    # What the file itself says is as it was.
    assert hours == {"short": 0.75, "long": 0.0}


def test_wrong_crops_and_data_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="multiples of 32"):
        DetectorTrainer(DetectorConfig(crop_width=100), data, tmp_path)
    with pytest.raises(DataError, match="ivfusion dataset"):
        DetectorTrainer(DetectorConfig(), tmp_path, tmp_path)
    # ultralytics wants images to judge by, whether it is to judge or not.
    shutil.copytree(data, tmp_path / "set")
    shutil.rmtree(tmp_path / "set" / "images" / "val")
    (tmp_path / "set" / "data.yaml").write_text(
        "{train: images/train, val: images/val, names: {0: person}}"
    )
    with pytest.raises(DataError, match="images/val, its val; where nothing was held out"):
        DetectorTrainer(DetectorConfig(validate=False), tmp_path / "set", tmp_path / "run")


def test_paths_of_a_data_set_go_from_its_file(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "robo"
    for part, own in (("train", "train"), ("val", "valid")):
        for name in ("images", "labels"):
            shutil.copytree(data / name / part / "rgb", folder / own / name)
    text = "train: ../train/images\nval: ../valid/images\nnames: [person]\n"
    for number, path in enumerate(("", "path: .\n", "path: ../robo\n")):
        (folder / "data.yaml").write_text(path + text)
        run = tmp_path / f"run{number}"
        trainer = DetectorTrainer(DetectorConfig(**SMALL), folder, run)
        assert trainer.data["train"] == str(folder / "train" / "images")
        assert trainer.data["val"] == str(folder / "valid" / "images")
    before = data_identity(folder / "data.yaml")
    assert before["files"] == 16
    (folder / "valid" / "labels" / "0.txt").write_text("")
    assert data_identity(folder / "data.yaml") != before


class Payload:
    """What runs a program when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return Path.touch, (self.target,)


def test_no_pickle_of_a_data_set_is_loaded(data: Path, tmp_path: Path) -> None:
    folder, ran = tmp_path / "set", tmp_path / "ran"
    shutil.copytree(data, folder)
    content = yaml.safe_load((folder / "data.yaml").read_text())
    (folder / "data.yaml").write_text(yaml.safe_dump(content | {"path": str(folder)}))
    labels = sorted(path.parent for path in (folder / "labels").rglob("*.txt"))
    for place in {*labels}:
        np.save(place.with_suffix(".npy"), np.array(Payload(ran)), allow_pickle=True)
        place.with_suffix(".npy").rename(place.with_suffix(".cache"))
    assert len(list(folder.rglob("*.cache"))) >= 2
    DetectorTrainer(DetectorConfig(**SMALL, hours=0.0, epochs=1), folder, tmp_path / "run").fit()
    assert not ran.exists()


def test_no_program_of_a_data_set_is_run(data: Path, tmp_path: Path) -> None:
    content = yaml.safe_load((data / "data.yaml").read_text())
    program = f"open({str(tmp_path / 'ran')!r}, 'w').close()"
    file = tmp_path / "data.yaml"
    file.write_text(yaml.safe_dump(content | {"val": ["absent"], "download": program}))
    with pytest.raises(DataError, match="names a download"):
        DetectorTrainer(DetectorConfig(), file, tmp_path / "run")
    file.write_text(yaml.safe_dump(content | {"val": ["absent"]}))
    with pytest.raises(DataError, match=r"data set .* cannot be read"):
        DetectorTrainer(DetectorConfig(), file, tmp_path / "run")
    assert not (tmp_path / "ran").exists()


def stopper(questions: int):
    """Asks to stop after so many questions."""
    asked = iter(range(10**6))
    return lambda: next(asked) >= questions


def assert_equal(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.fixture(scope="module")
def whole_runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple]:
    """Of a head: settings, and a run of theirs that nothing stopped, made when it is first asked for."""

    @functools.cache
    def of(head: str) -> tuple[DetectorConfig, Path]:
        # The last epoch is without mosaics.
        settings = {"epochs": 3, "validate": False, "without_mosaic": 0.5, "head": head}
        config, run = DetectorConfig(**SMALL | settings), tmp_path_factory.mktemp("runs") / "whole"
        whole = DetectorTrainer(config, data, run)
        whole.fit()
        # A scene counts once, whatever kinds it has: 4 scenes, 2 at a time.
        assert len(whole.train_loader) == 2
        assert tuple(whole.train_loader.dataset[0]["img"].shape) == (3, 64, 96)
        return config, run

    return of


@pytest.mark.parametrize(
    ("questions", "head"), [(0, "anchor_free"), (2, "anchor_free"), (3, "anchors"), (4, "anchors")]
)
def test_a_stopped_run_resumes_to_the_bit(
    data: Path, tmp_path: Path, whole_runs: Callable[[str], tuple], questions: int, head: str
) -> None:
    config, whole = whole_runs(head)
    run = tmp_path / "parts"
    with pytest.raises(KeyboardInterrupt, match=r"step \d is in .*--resume"):
        DetectorTrainer(config, data, run).fit(stopper(questions))
    resumed = DetectorTrainer(config, data, run, resume=True)
    resumed.fit()
    states = [torch.load(folder / "state.pt", weights_only=True) for folder in (whole, run)]
    told = yaml.safe_load((run / "provenance.yaml").read_text())
    assert told == states[1]["origin"] and told["versions"]["torch"] == torch.__version__
    assert len(told["data"]["sha256"]) == 64 and told["settings"]["detector"] == config.detector
    assert all(state["mosaic_closed"] for state in states)
    for part in ("weights", "ema"):
        assert_equal(states[0]["trainer"][part], states[1]["trainer"][part])
    rows = [list(csv.reader((folder / "results.csv").open())) for folder in (whole, run)]
    assert [row[0] for row in rows[1]] == ["epoch", "1", "2", "3"] and rows[1][0][1] == "time"
    assert [row[2:] for row in rows[0]] == [row[2:] for row in rows[1]]
    assert resumed.weights.name == ("final.pt" if head == "anchors" else "last.pt")
    # Once finished, there is nothing left to do.
    before = resumed.weights.read_bytes()
    DetectorTrainer(config, data, run, resume=True).fit()
    assert resumed.weights.read_bytes() == before


def test_a_state_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    state = State(1, 1, 3, 0.5, 2.0, False, False, {}, {part: {} for part in ORIGIN})
    content = {name: value for name, value in vars(state).items() if name != "losses"}
    torch.save(content, tmp_path / STATE)
    assert load_state(tmp_path, state.origin) == state


def test_a_run_that_starts_from_an_exported_detector_resumes_to_the_bit(
    data: Path, tmp_path: Path, whole_runs: Callable[[str], tuple]
) -> None:
    config, first = whole_runs("anchors")
    export_detector(first / "weights" / "final.pt", tmp_path / "n.onnx", (96, 64))
    config = dataclasses.replace(config, epochs=2, kept=1.0)
    with pytest.raises(KeyboardInterrupt):
        DetectorTrainer(config, data, tmp_path / "parts", start=tmp_path / "n.onnx").fit(stopper(1))
    runs = [
        DetectorTrainer(config, data, tmp_path / name, start=tmp_path / "n.onnx", resume=name == "parts")
        for name in ("whole", "parts")
    ]
    for run in runs:
        run.fit()
    whole, parts = (torch.load(run.weights, weights_only=True)["weights"] for run in runs)
    assert_equal(whole, parts)
    # All of the start is kept: what ends is what began.
    export_detector(runs[0].weights, tmp_path / "again.onnx", (96, 64))
    image = np.random.default_rng(0).random((1, 3, 64, 96), np.float32)
    found = [
        load_backend(tmp_path / name, "onnxruntime", precision="f32", threads=1).run({"images": image})
        for name in ("n.onnx", "again.onnx")
    ]
    np.testing.assert_allclose(found[1]["output0"], found[0]["output0"], rtol=1e-3, atol=0.02)


def test_a_sample_is_made_of_its_place_alone(data: Path, tmp_path: Path) -> None:
    config = DetectorConfig(**SMALL | {"mosaic": 1.0})
    sets = []
    for name in ("one", "other"):
        trainer = DetectorTrainer(config, data, tmp_path / name)
        trainer.args.imgsz, trainer.stride = 128, 32
        sets.append(trainer.build_dataset(trainer.data["train"], "train", 2))
    for place in (0, 3, 70):
        sets[0][place + 1]
        assert torch.equal(sets[0][place]["img"], sets[1][place]["img"])
    assert not torch.equal(sets[0][3]["img"], sets[0][7]["img"])
    # Each scene once an epoch.
    shown = [[sets[0][4 * epoch + k]["im_file"] for k in range(4)] for epoch in range(3)]
    assert all({Path(file).stem for file in files} == set("0123") for files in shown)
    assert len({tuple(files) for files in shown}) == 3


def test_the_loader_goes_on_within_an_epoch() -> None:
    class Numbers(torch.utils.data.Dataset):
        def __len__(self):
            return 5

        def __getitem__(self, place):
            return place

    loader = SceneLoader(dataset=Numbers(), batch_size=2, sampler=SceneSampler(5))
    assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3], [4]]
    assert [batch.tolist() for batch in loader] == [[5, 6], [7, 8], [9]]
    loader.start_at(3, 1)
    assert [batch.tolist() for batch in loader] == [[17, 18], [19]]
    assert [batch.tolist() for batch in loader] == [[20, 21], [22, 23], [24]]


def test_a_run_goes_on_with_the_same_only(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(ModelError, match="no checkpoint"):
        DetectorTrainer(DetectorConfig(**SMALL), data, run, resume=True)
    DetectorTrainer(DetectorConfig(**SMALL, epochs=1, validate=False), data, run).fit()
    with pytest.raises(ConfigError, match=r"settings.camera.grey: was 0.15, is 0.5"):
        config = DetectorConfig(**SMALL, epochs=1, validate=False, camera=CameraConfig(grey=0.5))
        DetectorTrainer(config, data, run, resume=True)
    with pytest.raises(ConfigError, match="holds a run already"):
        DetectorTrainer(DetectorConfig(**SMALL, epochs=1, validate=False), data, run)
    other = tmp_path / "other"
    shutil.copytree(data, other)
    (other / "images" / "train" / "rgb" / "0.png").unlink()
    with pytest.raises(ConfigError, match=r"data.files: was \d+, is"):
        DetectorTrainer(DetectorConfig(**SMALL, epochs=1, validate=False), other, run, resume=True)
    (run / "state.pt").write_bytes(b"broken")
    with pytest.raises(ModelError, match="not a readable state"):
        DetectorTrainer(DetectorConfig(**SMALL, epochs=1, validate=False), data, run, resume=True)


def test_the_optimiser_is_the_one_of_the_settings(data: Path, tmp_path: Path) -> None:
    config = DetectorConfig(**SMALL, epochs=1, validate=False, optimizer="sgd", momentum=0.8, warm_up=0)
    trainer = DetectorTrainer(config, data, tmp_path / "run")
    trainer.fit()
    assert isinstance(trainer.optimizer, torch.optim.SGD)
    assert {group["momentum"] for group in trainer.optimizer.param_groups} == {0.8}


def test_the_clock_ends_a_run_and_validation_runs_without_torchvision(data: Path, tmp_path: Path) -> None:
    trainer = DetectorTrainer(DetectorConfig(**SMALL, hours=1e-4), data, tmp_path / "run")
    trainer.fit()
    assert trainer.epoch < 5
    assert (trainer.wdir / "best.pt").is_file()
    assert "metrics/mAP50(B)" in trainer.metrics
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]])
    kept = sys.modules["torchvision"].ops.nms(boxes, torch.tensor([0.8, 0.9, 0.5]), 0.5)
    assert kept.tolist() == [1, 2]


class Copy:
    """A teacher that sees as the given network does, times a factor."""

    def __init__(self, network: torch.nn.Module, factor: float) -> None:
        self.factor, self.kept = factor, {}
        self.network = network
        for layer in LAYERS:
            network.model[layer].register_forward_hook(
                lambda m, i, o, layer=layer: self.kept.update({layer: o})
            )

    def __call__(self, images: torch.Tensor) -> list[torch.Tensor]:
        with torch.no_grad():
            self.network(images)
        return [self.kept[layer] * self.factor for layer in LAYERS]


def yolov5n() -> torch.nn.Module:
    from ultralytics.nn.tasks import DetectionModel

    torch.manual_seed(0)
    return DetectionModel("yolov5n.yaml", nc=3, verbose=False).eval()


@pytest.mark.parametrize("forced", [False, True])
def test_imitation(forced: bool) -> None:
    student, images = yolov5n(), torch.rand(1, 3, 64, 96)

    def distance(factor: float) -> float:
        loss = ImitationLoss(
            student,
            lambda predictions, batch: (torch.ones(3), {}),
            Copy(yolov5n(), factor),
            weight=lambda: 2.0,
            forced=lambda: forced,
        )
        with torch.no_grad():
            terms, items = loss(student(images), {"img": images})
        assert terms.tolist() == pytest.approx([1, 1, 1, 2 * float(items["imitation"])])
        return float(items["imitation"])

    assert distance(1.0) == pytest.approx(0, abs=1e-6)
    assert distance(1.5) > 1e-3


def test_forced_blocks_learn_apart() -> None:
    student, images = yolov5n().train(), torch.rand(2, 3, 64, 96)

    class Twin(Copy):
        """Sees as the student does but for the last layer."""

        def __call__(self, images: torch.Tensor) -> list[torch.Tensor]:
            *features, last = super().__call__(images)
            return [*features, last + 1]

    loss = ImitationLoss(
        student,
        lambda predictions, batch: (torch.zeros(1), {}),
        Twin(yolov5n().train(), 1.0),
        weight=lambda: 1.0,
        forced=lambda: True,
    )
    student(images)
    terms, _ = loss(None, {"img": images})
    terms.sum().backward()
    assert float(student.model[23].cv3.conv.weight.grad.abs().sum()) > 0
    # The layers before it were right, and what the last one got wrong is not theirs to fix.
    assert float(student.model[0].conv.weight.grad.abs().sum()) == pytest.approx(0, abs=1e-9)


def test_features_of_the_real_teacher(shared: Path) -> None:
    teacher = FeatureTeacher(shared / "reference" / "yolov5n_coco_480x640.onnx")
    features = teacher(torch.zeros(2, 3, 64, 96))
    student = Copy(yolov5n(), 1.0)(torch.zeros(2, 3, 64, 96))
    assert [tuple(one.shape) for one in features] == [tuple(one.shape) for one in student]


def test_night_camera_keeps_shape_and_range() -> None:
    image = np.full((32, 48, 3), 128, np.uint8)
    for _ in range(50):
        changed = NightCamera(CameraConfig())({"img": image})["img"]
        assert changed.shape == image.shape and changed.dtype == np.uint8
    assert (image == 128).all()
