"""The term that keeps what a detector sees, with COCO's YOLOv5n on a real pair."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("ultralytics", reason="needs ultralytics")

from ivfusion_ros.errors import ConfigError, ModelError
from ivfusion_ros.images.pairs import PairPaths
from ivfusion_ros.training.fusion.config import TrainConfig
from ivfusion_ros.training.fusion.data import read_luminance
from ivfusion_ros.training.fusion.loss_config import DetectionTermConfig, TermsConfig
from ivfusion_ros.training.fusion.losses import make_loss, needs_of
from ivfusion_ros.training.fusion.losses.base import Batch
from ivfusion_ros.training.fusion.losses.detection_term import DetectionLost

COCO = Path("reference/yolov5n_coco.safetensors")


@pytest.fixture(scope="module")
def lost(shared: Path) -> DetectionLost:
    return DetectionLost(DetectionTermConfig(detector=str(shared / COCO)))


@pytest.fixture(scope="module")
def pair(shared: Path) -> Batch:
    msrs = shared / "data" / "msrs"
    thermal = min((msrs / "thermal").iterdir())
    planes = read_luminance(PairPaths(thermal, msrs / "rgb" / thermal.name, None))
    images = torch.from_numpy(planes).float()[:, None, None] / 255
    means = images.mean((3, 4), keepdim=True)
    return Batch(images[0], images[1], torch.full_like(images[2], 255), means[0], means[1])


def test_what_shows_either_source_in_full_loses_least(lost: DetectionLost, pair: Batch) -> None:
    thermal, visible = (lost(pair, image).item() for image in (pair.thermal, pair.visible))
    mean = lost(pair, (pair.thermal + pair.visible) / 2).item()
    nothing = lost(pair, torch.full_like(pair.visible, 0.4)).item()
    assert min(thermal, visible) > 0 and max(thermal, visible, mean) < nothing
    same = Batch(pair.visible, pair.visible, pair.labels, pair.visible_mean, pair.visible_mean)
    assert lost(same, pair.visible).item() == 0
    empty = Batch(
        *(torch.zeros_like(pair.visible) for _ in range(2)), pair.labels, *[pair.visible_mean] * 2
    )
    assert lost(empty, pair.visible).item() == 0


def test_an_image_learns_to_show_what_the_detector_misses(lost: DetectionLost, pair: Batch) -> None:
    fused = (0.5 * pair.visible + 0.2).requires_grad_()
    before = lost(pair, fused)
    before.backward()
    assert torch.isfinite(fused.grad).all() and fused.grad.abs().max() > 0
    step = 0.01 * fused.grad / fused.grad.abs().amax()
    assert lost(pair, (fused - step).detach()).item() < before.item()


def test_a_detector_must_be_named_and_fit(tmp_path: Path) -> None:
    terms = TermsConfig(detection=DetectionTermConfig(weight=1.0))
    with pytest.raises(
        ConfigError, match=r"detection\.detector is '': unknown model .* a final\.pt, or COCO's"
    ):
        make_loss(TrainConfig(terms=terms))
    path = tmp_path / "other.safetensors"
    path.write_bytes(np.zeros(64, np.uint8).tobytes())
    named = DetectionTermConfig(weight=1.0, detector=str(path))
    with pytest.raises(ModelError, match=r"other\.safetensors is no readable safetensors file"):
        make_loss(TrainConfig(terms=TermsConfig(detection=named)))


@pytest.mark.parametrize("name", ["yolov5n", "yolov5s"])
def test_a_detector_that_ships_is_named_as_anywhere(name: str) -> None:
    lost = DetectionLost(DetectionTermConfig(weight=1.0, detector=name))
    image = torch.rand(1, 1, 64, 96, generator=torch.Generator().manual_seed(0))
    labels = torch.full((1, 1, 64, 96), 255)
    batch = Batch(image, image, labels, image.mean((2, 3), True), image.mean((2, 3), True))
    assert lost(batch, image).item() == 0


def test_sides_are_multiples_of_the_detectors_stride() -> None:
    terms = TermsConfig(detection=DetectionTermConfig(weight=1.0))
    assert needs_of(TrainConfig(loss="mda"))[0] == 1
    assert needs_of(TrainConfig(loss="mda", terms=terms))[0] == 32
