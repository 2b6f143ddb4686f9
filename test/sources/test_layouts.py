"""Data sets as they are published: their pairs by their own folders and names."""

from pathlib import Path

import numpy as np
import pytest

from ivfusion_ros.errors import DataError
from ivfusion_ros.images.files import write_image
from ivfusion_ros.sources.layouts import find_pairs

# Paths as in the data sets' own archives: thermal, RGB, what says what is there, and the pair's name.
PUBLISHED = {
    "ours": [("thermal/a.png", "rgb/a.jpg", "boxes/a.txt", "a")],
    "M3FD": [("Ir/00012.png", "Vis/00012.png", "Annotation/00012.xml", "00012")],
    "MSRS": [
        ("train/ir/00001D.png", "train/vi/00001D.png", "train/Segmentation_labels/00001D.png", "00001D"),
        ("test/ir/00004N.png", "test/vi/00004N.png", "test/Segmentation_labels/00004N.png", "00004N"),
    ],
    "LLVIP": [
        ("infrared/train/010001.jpg", "visible/train/010001.jpg", "Annotations/010001.xml", "010001"),
        ("infrared/test/190001.jpg", "visible/test/190001.jpg", "Annotations/190001.xml", "190001"),
    ],
    "KAIST": [
        (
            f"images/set{part}/V000/lwir/I00000.jpg",
            f"images/set{part}/V000/visible/I00000.jpg",
            f"annotations/set{part}/V000/I00000.txt",
            f"{part}_000_I00000",
        )
        for part in ("00", "06")
    ],
    "FLIR aligned": [
        (
            "JPEGImages/FLIR_00002_PreviewData.jpeg",
            "JPEGImages/FLIR_00002_RGB.jpg",
            "Annotations/FLIR_00002_PreviewData.xml",
            "FLIR_00002",
        )
    ],
    "RoadScene": [("cropinfrared/FLIR_00006.jpg", "crop_LR_visible/FLIR_00006.jpg", None, "FLIR_00006")],
    "TNO": [
        (
            "Athena_images/2_men_in_front_of_house/IR_meting003_g.bmp",
            "Athena_images/2_men_in_front_of_house/VIS_meting003_r.bmp",
            None,
            "2_men_in_front_of_house",
        ),
        (
            "DHV_images/Fire_sequence/part_1/thermal/RAD20.bmp",
            "DHV_images/Fire_sequence/part_1/dhv/DHV20.bmp",
            None,
            "20",
        ),
        (
            "FEL_images/Nato_camp_sequence/thermal/1800i.bmp",
            "FEL_images/Nato_camp_sequence/visual/1800v.bmp",
            None,
            "1800",
        ),
        ("tank/LWIR.tif", "tank/Vis.tif", None, "tank"),
        ("Triclobs_images/Bosnia/IR.bmp", "Triclobs_images/Bosnia/Vis.bmp", None, "Bosnia"),
    ],
}


def image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.full((8, 8), 7, np.uint8))
    return path


def publish(root: Path, name: str) -> list[tuple[Path, Path, Path | None, str]]:
    """The data set's files; the pairs by name."""
    pairs = []
    for thermal, rgb, truth, stem in PUBLISHED[name]:
        told = None if truth is None else root / truth
        if told is not None and told.suffix == ".png":
            image(told)
        elif told is not None:
            told.parent.mkdir(parents=True, exist_ok=True)
            told.write_text("")
        pairs.append((image(root / thermal), image(root / rgb), told, stem))
    return sorted(pairs, key=lambda pair: pair[3])


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_data_set_as_published(tmp_path: Path, name: str) -> None:
    expected = publish(tmp_path, name)
    found = [
        (pair.thermal, pair.rgb, pair.boxes or pair.labels, pair.stem) for pair in find_pairs(tmp_path)
    ]
    assert sorted(found, key=lambda pair: pair[3]) == expected


def test_a_part_of_a_data_set(tmp_path: Path) -> None:
    for name in ("LLVIP", "MSRS"):
        publish(tmp_path / name, name)
    assert [pair.stem for pair in find_pairs(tmp_path / "LLVIP" / "test")] == ["190001"]
    assert [pair.stem for pair in find_pairs(tmp_path / "MSRS" / "train")] == ["00001D"]
    with pytest.raises(DataError, match="no folder"):
        find_pairs(tmp_path / "LLVIP" / "val")


def test_pairs_come_in_natural_order(tmp_path: Path) -> None:
    for number in (10, 9, 1, 2):
        image(tmp_path / "thermal" / f"frame_{number}.png")
        image(tmp_path / "rgb" / f"frame_{number}.png")
    assert [pair.stem for pair in find_pairs(tmp_path)] == ["frame_1", "frame_2", "frame_9", "frame_10"]


def test_what_cannot_be_told_apart_is_no_pair(tmp_path: Path) -> None:
    publish(tmp_path, "TNO")
    image(tmp_path / "Triclobs_images" / "Bosnia" / "IR_other.bmp")
    assert "Bosnia" not in {pair.stem for pair in find_pairs(tmp_path)}
    # NIR is the third camera of TRICLOBS, and no thermal one.
    image(tmp_path / "Triclobs_images" / "Kaptein" / "NIR.bmp")
    image(tmp_path / "Triclobs_images" / "Kaptein" / "Vis.bmp")
    assert "Kaptein" not in {pair.stem for pair in find_pairs(tmp_path)}


def test_names_of_folders_mean_what_they_are(tmp_path: Path) -> None:
    image(tmp_path / "T1*{a}" / "x.png")
    image(tmp_path / "PET" / "x.png")
    assert [pair.stem for pair in find_pairs(tmp_path, ("T1*{a}", "PET"))] == ["x"]


def test_a_folder_of_no_data_set_names_those_that_are_known(tmp_path: Path) -> None:
    image(tmp_path / "left" / "x.png")
    with pytest.raises(DataError, match=r"0 images in thermal/.*LLVIP.*KAIST"):
        find_pairs(tmp_path)
