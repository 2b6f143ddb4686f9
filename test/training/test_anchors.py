"""The detector with anchors: COCO's weights, its loss, what is kept of the start, and its export."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")
tasks = pytest.importorskip("ultralytics.nn.tasks")

from ivfusion_ros.backends import load_backend
from ivfusion_ros.config.pipeline import DetectionConfig
from ivfusion_ros.detection import Detector
from ivfusion_ros.detection.classes import CLASS_NAMES, COCO_IDS
from ivfusion_ros.detection.thresholds import THRESHOLD_KEY
from ivfusion_ros.errors import ModelError
from ivfusion_ros.export.detector import export_detector
from ivfusion_ros.graphs.onnx_file import set_metadata
from ivfusion_ros.models import resolve_model
from ivfusion_ros.networks.yolov5 import (
    ANCHORS,
    RGB,
    RGB_AND_THERMAL,
    STRIDES,
    AnchorHead,
    TwoImages,
    load_final,
)
from ivfusion_ros.training.detector.anchor_loss import complete_iou
from ivfusion_ros.training.detector.anchors import TrainedAnchorModel as AnchorModel
from ivfusion_ros.training.detector.anchors import load_start, save_final
from ivfusion_ros.training.detector.memory import Memory, RememberingLoss
from ivfusion_ros.training.detector.norms import looked_at, part_norms

SIZE = (96, 128)
"""Height and width."""


@pytest.fixture(scope="module")
def model() -> AnchorModel:
    torch.manual_seed(0)
    return AnchorModel("yolov5n", CLASS_NAMES)


def batch(*objects: tuple[int, int, float, float, float, float]) -> dict:
    """Image, class, centre and size as shares of the image."""
    rows = torch.tensor(objects, dtype=torch.float32).view(-1, 6)
    return {"batch_idx": rows[:, 0], "cls": rows[:, 1:2], "bboxes": rows[:, 2:]}


def perfect(level: int, anchor: int, row: int, column: int, box: tuple[float, ...], class_id: int) -> list:
    """Logits that say one box (centre, size, pixels) and nothing else."""
    logits = [torch.full((1, 3, SIZE[0] // s, SIZE[1] // s, 5 + len(CLASS_NAMES)), -12.0) for s in STRIDES]
    stride, sides = STRIDES[level], ANCHORS[level][anchor]
    offset = (box[0] / stride - column, box[1] / stride - row)
    share = [(value + 0.5) / 2 for value in offset]
    share += [(size / side) ** 0.5 / 2 for size, side in zip(box[2:], sides, strict=True)]
    cell = logits[level][0, anchor, row, column]
    cell[:4] = torch.logit(torch.tensor(share))
    cell[4] = cell[5 + class_id] = 12.0
    return logits


def test_a_model_is_made_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """ultralytics told that the number of classes is not that of its file, into what --dry-run prints."""
    monkeypatch.setattr(tasks.LOGGER, "info", lambda *words: pytest.fail(str(words)))
    AnchorModel("yolov5n", CLASS_NAMES)


def test_a_box_is_decoded_where_it_was_written() -> None:
    head = AnchorHead(len(CLASS_NAMES), [1, 1, 1]).eval()
    head.m, head.classic = torch.nn.ModuleList(torch.nn.Identity() for _ in STRIDES), True
    box = (70.0, 44.0, 40.0, 52.0)
    logits = perfect(1, 1, 2, 4, box, 3)
    # As the convolutions give them: anchors and values are the channels.
    rows = head([level.permute(0, 1, 4, 2, 3).flatten(1, 2) for level in logits])[0]
    best = rows[:, 4].argmax()
    assert rows[best, :4].tolist() == pytest.approx(box, abs=1e-3)
    assert rows[best, 5:].argmax() == 3


def test_loss_is_small_for_the_truth_alone(model: AnchorModel) -> None:
    box = (70.0, 44.0, 40.0, 52.0)
    shares = (box[0] / SIZE[1], box[1] / SIZE[0], box[2] / SIZE[1], box[3] / SIZE[0])
    criterion = model.init_criterion()
    _, nothing = criterion([level * 0 - 12 for level in perfect(1, 1, 2, 4, box, 3)], batch())
    assert nothing["box_loss"] == 0 and nothing["obj_loss"] < 1e-4
    _, right = criterion(perfect(1, 1, 2, 4, box, 3), batch((0, 3, *shares)))
    _, wrong_class = criterion(perfect(1, 1, 2, 4, box, 1), batch((0, 3, *shares)))
    moved = (box[0] + 3, *box[1:])
    _, wrong_place = criterion(perfect(1, 1, 2, 4, moved, 3), batch((0, 3, *shares)))
    assert wrong_class["cls_loss"] > right["cls_loss"]
    assert wrong_place["box_loss"] > right["box_loss"]


def test_an_object_is_learned_in_its_cell_and_the_two_nearest(model: AnchorModel) -> None:
    logits = [torch.zeros(1, 3, SIZE[0] // s, SIZE[1] // s, 5 + len(CLASS_NAMES)) for s in STRIDES]
    for level in logits:
        level.requires_grad_(True)
    # 40 x 40 pixels with its centre in the upper left half of cell (2, 4) at stride 16.
    loss, _ = model.init_criterion()(logits, batch((0, 0, 68 / 128, 36 / 96, 40 / 128, 40 / 96)))
    loss.backward()
    boxes = logits[1].grad[0, ..., :4].abs().sum((0, 3))
    assert {tuple(cell) for cell in boxes.nonzero().tolist()} == {(2, 4), (1, 4), (2, 3)}


def test_at_the_border_no_cell_lies_outside(model: AnchorModel) -> None:
    logits = [torch.zeros(1, 3, SIZE[0] // s, SIZE[1] // s, 5 + len(CLASS_NAMES)) for s in STRIDES]
    loss, terms = model.init_criterion()(
        logits, batch((0, 0, 1.0, 1.0, 0.3, 0.3), (0, 1, 0.0, 0.0, 0.3, 0.3))
    )
    assert torch.isfinite(loss) and terms["box_loss"] > 0


def test_complete_iou_of_known_boxes() -> None:
    box = torch.tensor([[10.0, 10.0, 4.0, 8.0]])
    assert complete_iou(box, box).item() == pytest.approx(1.0, abs=1e-5)
    # Side by side, of one shape: no overlap, centres 4 apart, hull 8 x 8.
    assert complete_iou(box, box + torch.tensor([4.0, 0, 0, 0])).item() == pytest.approx(
        -16 / 128, abs=1e-5
    )


def test_weights_are_averaged_and_read_without_running_code(model: AnchorModel, tmp_path: Path) -> None:
    other = AnchorModel("yolov5n", CLASS_NAMES)
    save_final(other, model, 0.25, tmp_path / "final.pt")
    loaded = load_final(tmp_path / "final.pt").state_dict()
    start, trained = model.state_dict(), other.state_dict()
    for name in ("model.0.conv.weight", "model.24.m.1.bias"):
        expected = 0.25 * start[name] + 0.75 * trained[name]
        torch.testing.assert_close(loaded[name], expected)


def test_a_pickled_object_is_refused(tmp_path: Path) -> None:
    torch.save({"network": "yolov5n", "names": Path("/tmp")}, tmp_path / "final.pt")
    with pytest.raises(ModelError, match="is no final"):
        load_final(tmp_path / "final.pt")


def test_export_gives_the_classic_layout(model: AnchorModel, tmp_path: Path) -> None:
    save_final(model, model, 0.0, tmp_path / "final.pt")
    assert export_detector(tmp_path / "final.pt", tmp_path / "n.onnx", (128, 96)) == CLASS_NAMES
    backend = load_backend(tmp_path / "n.onnx", "onnxruntime", precision="f32", threads=1)
    image = np.random.default_rng(0).random((1, 3, 96, 128), np.float32)
    (found,) = backend.run({"images": image}).values()
    assert found.shape == (1, 3 * (12 * 16 + 6 * 8 + 3 * 4), 5 + len(CLASS_NAMES))


def test_a_checkpoint_within_a_training_is_sent_to_its_end(model: AnchorModel, tmp_path: Path) -> None:
    """It was said to name AnchorHead, which is no layer of ultralytics."""
    best, final = tmp_path / "best.pt", tmp_path / "final.pt"
    torch.save({"model": model}, best)
    with pytest.raises(ModelError, match=r"give final\.pt, which is written beside it at the end"):
        export_detector(best, tmp_path / "n.onnx", (128, 96))
    save_final(model, model, 0.0, final)
    with pytest.raises(ModelError, match=f"with anchors, whose end is exported: give {final}"):
        export_detector(best, tmp_path / "n.onnx", (128, 96))


def test_a_threshold_that_is_none_of_its_own_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    model = awake(AnchorModel("yolov5n", CLASS_NAMES))
    save_final(model, model, 0.0, tmp_path / "final.pt")
    first, again = tmp_path / "first.onnx", tmp_path / "again.onnx"
    export_detector(tmp_path / "final.pt", first, (128, 96))
    assert "first.onnx recommends no threshold, so that 0.25 counts; `ivfusion eval-detect" in caplog.text
    set_metadata(first, THRESHOLD_KEY, "0.37")
    caplog.clear()
    export_detector(first, again, (128, 96))
    assert "threshold" not in caplog.text
    export_detector(first, again, (192, 64))
    assert "again.onnx keeps the threshold that was measured at 128x96; `ivfusion" in caplog.text
    assert "measures the one at 192x64" in caplog.text


@pytest.mark.parametrize("channels", [RGB, RGB_AND_THERMAL])
def test_an_exported_file_is_exported_again_for_another_size(tmp_path: Path, channels: int) -> None:
    model = awake(AnchorModel("yolov5n", CLASS_NAMES, channels))
    save_final(model, model, 0.0, tmp_path / "final.pt")
    export_detector(tmp_path / "final.pt", tmp_path / "first.onnx", (128, 96))
    graph = onnx.load(tmp_path / "first.onnx")
    graph.metadata_props.add(key=THRESHOLD_KEY, value="0.37")
    onnx.save(graph, tmp_path / "first.onnx")
    for size in ((128, 96), (192, 64)):
        again = tmp_path / "again.onnx"
        assert export_detector(tmp_path / "first.onnx", again, size) == CLASS_NAMES
        backends = [
            load_backend(path, "onnxruntime", precision="f32", threads=1)
            for path in (again, tmp_path / "first.onnx")
        ]
        assert backends[0].metadata == backends[1].metadata
        shapes = {key: info.shape for key, info in backends[0].inputs.items()}
        assert shapes["images"] == (1, 3, size[1], size[0]) and len(shapes) == channels - 2
        random = np.random.default_rng(0)
        images = {key: random.random(info.shape, np.float32) for key, info in backends[0].inputs.items()}
        (found,) = backends[0].run(images).values()
        model.model[-1].classic = True
        with torch.no_grad():
            expected = model(torch.cat([torch.from_numpy(image) for image in images.values()], 1)).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=0.02)


def test_cocos_weights_give_what_cocos_model_gives(shared: Path) -> None:
    model = AnchorModel("yolov5n", CLASS_NAMES)
    load_start(model, shared / "reference" / "yolov5n_coco.safetensors")
    model.eval()
    model.model[-1].classic = True
    image = np.random.default_rng(0).random((1, 3, 480, 640), np.float32)
    with torch.no_grad():
        own = model(torch.from_numpy(image)).numpy()
    reference = shared / "reference" / "yolov5n_coco_480x640.onnx"
    backend = load_backend(reference, "onnxruntime", precision="f32", threads=1)
    (theirs,) = backend.run({"images": image}).values()
    numbers = {name: number for number, name in COCO_IDS.items()}
    columns = [*range(5), *(5 + numbers[name] for name in CLASS_NAMES)]
    # Theirs are anchor by anchor, ours cell by cell.
    levels = np.split(theirs[0], np.cumsum([3 * 60 * 80, 3 * 30 * 40]))
    rows = np.concatenate([level.reshape(3, -1, 85).swapaxes(0, 1).reshape(-1, 85) for level in levels])
    np.testing.assert_allclose(own[0], rows[:, columns], atol=2e-3)


def awake(model: AnchorModel) -> AnchorModel:
    """With batch statistics of its own features: without, those of a fresh model fade to nothing."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    model.train()(torch.rand(4, model.channels, *SIZE))
    return model.eval()


def test_a_thermal_image_changes_nothing_at_the_start(tmp_path: Path) -> None:
    torch.manual_seed(2)
    old = awake(AnchorModel("yolov5n", CLASS_NAMES))
    save_final(old, old, 0.0, tmp_path / "final.pt")
    new = AnchorModel("yolov5n", CLASS_NAMES, RGB_AND_THERMAL).eval()
    load_start(new, tmp_path / "final.pt")
    colours, thermal = torch.rand(2, 3, *SIZE), torch.rand(2, 1, *SIZE)
    with torch.no_grad():
        expected = old(colours)[0]
        for seen in (thermal, torch.zeros_like(thermal)):
            torch.testing.assert_close(TwoImages(new)(colours, seen)[0], expected)
        assert (TwoImages(new)(1 - colours, thermal)[0] - expected).abs().max() > 1
    answers = Memory(AnchorModel("yolov5n", CLASS_NAMES, RGB_AND_THERMAL), tmp_path / "final.pt")
    both = torch.cat((colours, thermal), 1)
    for found, level in zip(answers(both), Memory(old, tmp_path / "final.pt")(colours), strict=True):
        torch.testing.assert_close(found, level)
    # Back again there is no way: what was learned of the thermal image would be lost.
    save_final(new, new, 0.0, tmp_path / "four.pt")
    with pytest.raises(ModelError, match=r"truck with the thermal image as a channel; expected a yolov5n"):
        load_start(AnchorModel("yolov5n", CLASS_NAMES), tmp_path / "four.pt")


def test_a_detector_of_two_images_is_exported_with_two_inputs(tmp_path: Path) -> None:
    torch.manual_seed(3)
    model = awake(AnchorModel("yolov5n", CLASS_NAMES, RGB_AND_THERMAL))
    save_final(model, model, 0.0, tmp_path / "final.pt")
    assert load_final(tmp_path / "final.pt").channels == RGB_AND_THERMAL
    assert export_detector(tmp_path / "final.pt", tmp_path / "n.onnx", (128, 96)) == CLASS_NAMES
    backend = load_backend(tmp_path / "n.onnx", "onnxruntime", precision="f32", threads=1)
    assert {name: info.shape for name, info in backend.inputs.items()} == {
        "images": (1, 3, 96, 128),
        "thermal": (1, 1, 96, 128),
    }
    detector = Detector(backend, DetectionConfig())
    assert detector.takes_thermal and detector.class_names == CLASS_NAMES
    random = np.random.default_rng(0)
    images = {name: random.random(info.shape, np.float32) for name, info in backend.inputs.items()}
    (found,) = backend.run(images).values()
    (other,) = backend.run(images | {"thermal": 1 - images["thermal"]}).values()
    model.model[-1].classic = True
    with torch.no_grad():
        expected = model(torch.cat([torch.from_numpy(image) for image in images.values()], 1)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=0.02)
    assert np.abs(other - found).max() > 1


def test_cocos_weights_do_not_see_the_thermal_image(shared: Path) -> None:
    three, four = AnchorModel("yolov5n", CLASS_NAMES), AnchorModel("yolov5n", CLASS_NAMES, RGB_AND_THERMAL)
    for model in (three, four):
        load_start(model, shared / "reference" / "yolov5n_coco.safetensors")
        model.eval()
    image = torch.rand(1, 4, *SIZE)
    with torch.no_grad():
        torch.testing.assert_close(four(image)[0], three(image[:, :3])[0])


def test_a_wider_detector_begins_with_what_a_narrow_one_says(shared: Path) -> None:
    narrow, wide = AnchorModel("yolov5n", CLASS_NAMES), AnchorModel("yolov5s", CLASS_NAMES)
    for model in (narrow, wide):
        load_start(model, shared / "reference" / "yolov5n_coco.safetensors")
        model.eval()
    image = torch.rand(1, 3, *SIZE)
    with torch.no_grad():
        torch.testing.assert_close(wide(image)[0], narrow(image)[0], rtol=1e-3, atol=0.02)
    # The two of a channel are not seen alike, so that they learn apart, even where they see the same.
    wide.train()
    sum(level.square().mean() for level in wide(image)).backward()
    gradient = wide.model[0].conv.weight.grad
    assert (gradient[::2] - gradient[1::2]).abs().mean() > 0.1 * gradient.abs().mean()
    # A memory may be narrower than what learns.
    answers = Memory(wide, shared / "reference" / "yolov5n_coco.safetensors")(image)
    assert answers[0].shape == (1, 3, SIZE[0] // 8, SIZE[1] // 8, 5 + len(CLASS_NAMES))


def test_a_start_of_another_size_is_refused_with_the_setting_to_give(tmp_path: Path) -> None:
    models = {name: AnchorModel(name, ["person"]) for name in ("yolov5n", "yolov5s", "yolov5m")}
    for name, start in models.items():
        save_final(start, start, 0.0, tmp_path / f"{name}.pt")
    for name, start, words in (
        (
            "yolov5m",
            "yolov5n",
            "is a yolov5n of person; expected a yolov5m of person; set detector=yolov5n",
        ),
        (
            "yolov5n",
            "yolov5s",
            "is a yolov5s of person; expected a yolov5n of person; set detector=yolov5s",
        ),
        ("yolov5s", "yolov5m", "expected a yolov5s of person, or a yolov5n; set detector=yolov5m"),
    ):
        with pytest.raises(ModelError, match=words):
            load_start(models[name], tmp_path / f"{start}.pt")


def test_a_run_starts_where_another_ended(model: AnchorModel, tmp_path: Path) -> None:
    save_final(model, model, 0.0, tmp_path / "final.pt")
    torch.manual_seed(1)
    other = AnchorModel("yolov5n", CLASS_NAMES)
    load_start(other, tmp_path / "final.pt")
    for name, weight in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], weight), name
    with pytest.raises(ModelError, match=r"is a yolov5n of person, .*; expected a yolov5n of person, dog"):
        load_start(AnchorModel("yolov5n", ["person", "dog"]), tmp_path / "final.pt")


@pytest.mark.parametrize("channels", [RGB, RGB_AND_THERMAL])
def test_a_run_starts_from_an_exported_detector(tmp_path: Path, channels: int) -> None:
    torch.manual_seed(4)
    old = awake(AnchorModel("yolov5n", CLASS_NAMES, channels))
    save_final(old, old, 0.0, tmp_path / "final.pt")
    export_detector(tmp_path / "final.pt", tmp_path / "n.onnx", (128, 96))
    new = AnchorModel("yolov5n", CLASS_NAMES, RGB_AND_THERMAL).eval()
    load_start(new, tmp_path / "n.onnx")
    images = torch.rand(8, RGB_AND_THERMAL, *SIZE)
    with torch.no_grad():
        expected = old(images[:, :channels])[0]
        torch.testing.assert_close(new(images)[0], expected, rtol=1e-3, atol=0.02)
        part_norms(new, images)
        torch.testing.assert_close(new(images)[0], expected, rtol=1e-3, atol=0.02)
        # With the statistics of the very batch, as in training, it says the same.
        new.train().model[-1].eval()
        torch.testing.assert_close(new(images)[0], expected, rtol=1e-2, atol=0.2)


def test_a_detector_that_ships_in_half_precision_is_a_start_and_a_memory() -> None:
    """yolov5s was refused: only f32 was read."""
    runtime = pytest.importorskip("onnxruntime")
    shipped = resolve_model("yolov5s")
    model = AnchorModel("yolov5s", CLASS_NAMES)
    load_start(model, shipped)
    image = np.random.default_rng(4).random((1, 3, 480, 640), np.float32)
    (expected,) = runtime.InferenceSession(str(shipped)).run(None, {"images": image})
    with torch.no_grad():
        found = model.eval()(torch.from_numpy(image))[0].transpose(1, 2).numpy()
    np.testing.assert_allclose(found[..., :4], expected[..., :4], atol=4)
    scores = expected[..., 4:5] * expected[..., 5:]
    np.testing.assert_allclose(found[..., 4:], scores, atol=2e-3)
    assert np.corrcoef(found[..., 4:].ravel(), scores.ravel())[0, 1] > 0.99
    Memory(AnchorModel("yolov5n", CLASS_NAMES), shipped)


def test_what_cannot_be_started_from_is_refused(tmp_path: Path, box_model: Path) -> None:
    known = awake(AnchorModel("yolov5n", CLASS_NAMES))
    save_final(known, known, 0.0, tmp_path / "final.pt")
    export_detector(tmp_path / "final.pt", tmp_path / "n.onnx", (128, 96))
    with pytest.raises(ModelError, match=r"n.onnx is a yolov5n of .*truck; expected a yolov5n of person$"):
        load_start(AnchorModel("yolov5n", ["person"]), tmp_path / "n.onnx")
    with pytest.raises(ModelError, match="holds no YOLOv5 with anchors and class names in f32 or f16"):
        load_start(AnchorModel("yolov5n", CLASS_NAMES), resolve_model("yolov5n_int8"))
    with pytest.raises(ModelError, match=r"in f32 or f16, and .*; give one that `ivfusion export --det"):
        load_start(AnchorModel("yolov5n", CLASS_NAMES), box_model)


def test_images_that_norms_are_measured_on(tmp_path: Path) -> None:
    files = []
    for number in range(40):
        files.append(str(tmp_path / f"{number}.png"))
        cv2.imwrite(files[-1], np.full((12, 16, 3), (number, 20, 30), np.uint8))
    images = looked_at(files, (8, 6), RGB_AND_THERMAL)
    assert images.shape == (32, 4, 6, 8)
    assert (images[0, :, 0, 0] * 255).tolist() == pytest.approx([30, 20, 0, 0])
    assert (images[-1, :, 0, 0] * 255).tolist() == pytest.approx([30, 20, 39, 0])


def test_what_no_label_speaks_of_is_remembered(model: AnchorModel) -> None:
    box, other = (70.0, 44.0, 40.0, 52.0), (20.0, 60.0, 24.0, 30.0)
    labelled = batch((0, 3, box[0] / SIZE[1], box[1] / SIZE[0], box[2] / SIZE[1], box[3] / SIZE[0]))
    label, remembered = perfect(1, 1, 2, 4, box, 3), perfect(0, 2, 7, 2, other, 0)
    both = [torch.maximum(one, two) for one, two in zip(label, remembered, strict=True)]
    both[0][0, 2, 7, 2, :4], both[1][0, 1, 2, 4, :4] = (
        remembered[0][0, 2, 7, 2, :4],
        label[1][0, 1, 2, 4, :4],
    )
    criterion = model.init_criterion()
    # Without a memory what no label speaks of is wrong; with it, its absence is.
    assert criterion(both, labelled)[1]["obj_loss"] > criterion(label, labelled)[1]["obj_loss"]
    answers = labelled | {"answers": remembered}
    assert criterion(both, answers)[1]["obj_loss"] < criterion(label, answers)[1]["obj_loss"]
    assert criterion(both, answers)[1]["box_loss"] < criterion(label, answers)[1]["box_loss"]
    # A label is right, whatever a memory says of its cells.
    contrary = [level * 0 - 12 for level in label]
    told = criterion(label, labelled | {"answers": contrary})[0]
    assert float(told) == pytest.approx(float(criterion(label, labelled)[0]))


def test_a_memory_answers_as_the_model_did(model: AnchorModel, tmp_path: Path) -> None:
    save_final(model, model, 0.0, tmp_path / "final.pt")
    images = torch.rand(1, 3, *SIZE)
    seen: list = []
    memory = Memory(AnchorModel("yolov5n", CLASS_NAMES), tmp_path / "final.pt")
    RememberingLoss(lambda _, given: seen.extend(given["answers"]), memory)(None, {"img": images})
    with torch.no_grad():
        expected = model.eval()(images)[1]
    for answer, level in zip(seen, expected, strict=True):
        # bf16 has 8 bits.
        torch.testing.assert_close(answer.float(), level, atol=0.2, rtol=0.05)
        assert not answer.requires_grad
