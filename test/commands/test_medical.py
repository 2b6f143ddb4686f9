"""Medical fusion by the same commands: MRI with PET (colour) and with CT (grey)."""

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training dependencies are not installed")

from ivfusion_ros.cli import main
from ivfusion_ros.errors import DataError
from ivfusion_ros.images.files import read_image, write_image
from ivfusion_ros.sources.layouts import find_pairs
from ivfusion_ros.training.fusion.data import read_luminance

pytestmark = pytest.mark.usefixtures("one_export_per_network")

SIZE = 96


def brain(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An MRI-like (folds), CT-like (skull) and PET-like (colour-mapped uptake) slice of one head."""
    y, x = np.mgrid[:SIZE, :SIZE]
    radius = np.hypot((x - SIZE / 2) / 34, (y - SIZE / 2) / 42)
    inside = radius < 0.9
    folds = 0.5 + 0.25 * np.sin(x / 3 + 2 * np.sin(y / 7 + seed))
    mri = np.where(inside, folds, 0)
    ct = np.where((radius > 0.9) & (radius < 1), 0.95, np.where(inside, 0.25, 0))
    uptake = np.where(inside, np.exp(-((x - 30 - 5 * seed) ** 2 + (y - 45) ** 2) / 300), 0)
    pet = np.stack([90 + 90 * uptake, 60 + 0 * uptake, 110 - 40 * uptake], -1)
    grey = [np.rint(255 * image).astype(np.uint8) for image in (mri, ct)]
    return grey[0], grey[1], (np.rint(pet) * (radius < 1)[..., None]).astype(np.uint8)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    for name in ("MRI", "CT", "PET"):
        (folder / name).mkdir(parents=True)
    for seed in range(3):
        for name, image in zip(("MRI", "CT", "PET"), brain(seed), strict=True):
            write_image(folder / name / f"head{10 * seed}.png", image)
    return folder


def chroma(rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (H, W, 2) float Cr and Cb, BT.601 full range."""
    return cv2.cvtColor(rgb.astype(np.float32), cv2.COLOR_RGB2YCrCb)[..., 1:]


def test_pet_keeps_its_colour_and_gains_the_folds(scans: Path, tmp_path: Path) -> None:
    folders = [str(folder) for folder in (scans / "MRI", scans / "PET", tmp_path / "out")]
    assert main(["fuse", *folders, "--model", "mst"]) == 0
    for seed in range(3):
        mri, pet, fused = (
            read_image(folder / f"head{10 * seed}.png")
            for folder in (scans / "MRI", scans / "PET", tmp_path / "out")
        )
        # Where nothing is clipped, recombination in YCbCr moves brightness alone.
        free = (fused > 0).all(-1) & (fused < 255).all(-1)
        assert free.mean() > 0.4
        assert np.abs(chroma(fused) - chroma(pet))[free].max() <= 1.5
        heart = np.s_[30:66, 34:62]
        luminance = cv2.cvtColor(fused, cv2.COLOR_RGB2GRAY)
        detail = [image[heart] - cv2.blur(image, (9, 9))[heart] for image in (luminance * 1.0, mri * 1.0)]
        assert np.corrcoef(detail[0].ravel(), detail[1].ravel())[0, 1] > 0.9


def test_a_grey_second_image_stays_grey(scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "fused.png"
    pair = [str(scans / name / "head0.png") for name in ("MRI", "CT")]
    assert main(["fuse", *pair, str(out), "--model", "mst"]) == 0
    fused = read_image(out)
    assert fused.shape == (SIZE, SIZE, 3)
    assert np.ptp(fused.astype(int), axis=-1).max() == 0
    ct = read_image(scans / "CT" / "head0.png")
    skull = cv2.erode((ct > 200).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert np.median(fused[..., 0][skull]) > 150


def test_luminance_of_colour_and_grey_images(scans: Path) -> None:
    for second, weights in (("PET", [0.299, 0.587, 0.114]), ("CT", [1 / 3] * 3)):
        pair = find_pairs(scans, ("MRI", second))[1]
        expected = cv2.imread(str(pair.rgb))[..., ::-1].astype(float) @ weights
        mri, luminance, labels = read_luminance(pair)
        assert np.abs(luminance - expected).max() <= 1
        np.testing.assert_array_equal(mri, read_image(scans / "MRI" / "head10.png"))
        assert (labels == 255).all()


def test_pairs_need_their_folders_named(scans: Path) -> None:
    with pytest.raises(DataError, match="--folders"):
        find_pairs(scans, ("thermal", "rgb"))
    with pytest.raises(DataError, match=r"3 images in MRI/ and 0 in SPECT/.*MRI/0001.png"):
        find_pairs(scans, ("MRI", "SPECT"))
    write_image(scans / "PET" / "head0.png", np.zeros((48, 48, 3), np.uint8))
    with pytest.raises(DataError, match=r"MRI is \(96, 96\), PET \(48, 48\)"):
        read_luminance(find_pairs(scans, ("MRI", "PET"))[0])


def test_train_export_fuse(scans: Path, tmp_path: Path) -> None:
    settings = "--iterations 2 --batch 2 --crop 64 --precision f32 --device cpu --validation-fraction 0.4"
    train = ["train", "refinefuse_table9_ii", "--data", str(scans), "--folders", "MRI", "PET"]
    assert main([*train, "--out", str(tmp_path / "run"), *settings.split()]) == 0
    # Thermal, visible, fused beside each other, below a caption: a validation picture shows MRI first.
    picture, *_ = (tmp_path / "run" / "validation").iterdir()
    strip = cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE)
    assert strip.shape[1] == 3 * SIZE
    assert any(np.array_equal(strip[-SIZE:, :SIZE], brain(seed)[0]) for seed in range(3))
    model = tmp_path / "medical.onnx"
    assert main(["export", str(tmp_path / "run" / "last.pt"), str(model)]) == 0
    pair = [str(scans / name / "head20.png") for name in ("MRI", "PET")]
    assert main(["fuse", *pair, str(tmp_path / "fused.png"), "--model", str(model)]) == 0
    fused, pet = read_image(tmp_path / "fused.png"), read_image(scans / "PET" / "head20.png")
    free = (fused > 0).all(-1) & (fused < 255).all(-1)
    assert np.abs(chroma(fused) - chroma(pet))[free].max() <= 1.5
