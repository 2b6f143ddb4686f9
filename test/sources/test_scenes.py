"""Scenes of detectors in all the forms that sets are published in."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ivfusion_ros.detection.classes import CLASS_NAMES, read_class_map, usual_map
from ivfusion_ros.detection.given import given_objects
from ivfusion_ros.errors import DataError
from ivfusion_ros.images.coco_json import read_coco
from ivfusion_ros.sources.scenes import Scene, find_scenes

SIZE = (128, 96)
VOC = "<annotation><object><name>{}</name><bndbox><xmin>16</xmin><ymin>24</ymin><xmax>32</xmax>\
<ymax>72</ymax></bndbox></object></annotation>"
YOLO = "{} 0.1875 0.5 0.125 0.5\n"
KAIST = "% bbGt version=3\n{} 16 24 16 48 0 0 0 0 0 0 0\npeople 0 0 50 50 0 0 0 0 0 0 0\n"
BOX = [16, 24, 32, 72]


def picture(path: Path, colour: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((96, 128, 3), 90, np.uint8)
    if colour:
        image[..., 0] = 200
    assert cv2.imwrite(str(path), image)


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def coco(path: Path, images: dict[str, list[tuple[int, int]]], own: bool = False) -> None:
    """A file of images by name, with (category, crowd) of their objects, all at BOX."""
    name, found = ("filename", "annotation") if own else ("file_name", "annotations")
    objects = [
        {"image_id": number, "category_id": category, "bbox": [16, 24, 16, 48], "iscrowd": crowd}
        for number, rows in enumerate(images.values())
        for category, crowd in rows
    ]
    content = {
        "images": [{"id": number, name: image} for number, image in enumerate(images)],
        found: objects,
        "categories": [{"id": 1, "name": "Person"}, {"id": 3, "name": "OtherVehicle"}],
    }
    text(path, json.dumps(content))


def write_m3fd(root: Path) -> None:
    for stem in "ab":
        picture(root / "Ir" / f"{stem}.png")
        picture(root / "Vis" / f"{stem}.png", colour=True)
        text(root / "Annotation" / f"{stem}.xml", VOC.format("People"))


def write_llvip(root: Path) -> None:
    for stem in "ab":
        picture(root / "infrared" / "train" / f"{stem}.jpg")
        picture(root / "visible" / "train" / f"{stem}.jpg", colour=True)
        text(root / "Annotations" / f"{stem}.xml", VOC.format("person"))


def write_flir_aligned(root: Path) -> None:
    for stem in "ab":
        picture(root / "JPEGImages" / f"FLIR_{stem}_PreviewData.jpeg")
        picture(root / "JPEGImages" / f"FLIR_{stem}_RGB.jpg", colour=True)
        text(root / "Annotations" / f"FLIR_{stem}_PreviewData.xml", VOC.format("person"))


def write_kaist(root: Path) -> None:
    for stem in "ab":
        picture(root / "images" / "set00" / "V000" / "lwir" / f"{stem}.jpg")
        picture(root / "images" / "set00" / "V000" / "visible" / f"{stem}.jpg", colour=True)
        text(root / "annotations" / "set00" / "V000" / f"{stem}.txt", KAIST.format("person"))


def write_hit_uav(root: Path) -> None:
    for stem in "ab":
        picture(root / "normal_json" / "train" / f"{stem}.jpg")
    rows = {"a.jpg": [(1, 0)], "b.jpg": [(1, 0)]}
    coco(root / "normal_json" / "annotations" / "train.json", rows, own=True)


def write_yolo(root: Path) -> None:
    for stem in "ab":
        picture(root / "images" / "train" / f"{stem}.jpg")
        text(root / "labels" / "train" / f"{stem}.txt", YOLO.format(1))
    text(root / "dataset.yaml", "names: [OtherVehicle, Person]\n")


def write_voc(root: Path) -> None:
    for stem in "ab":
        picture(root / "JPEGImages" / f"{stem}.jpg", colour=True)
        text(root / "Annotations" / f"{stem}.xml", VOC.format("pedestrian"))


def write_coco(root: Path) -> None:
    for stem in "ab":
        picture(root / "val" / f"{stem}.jpg", colour=True)
    coco(root / "annotations" / "instances_val.json", {"val/a.jpg": [(1, 0)], "val/b.jpg": [(1, 0)]})


def write_pairs_with_coco(root: Path) -> None:
    for stem in "ab":
        picture(root / "thermal" / f"{stem}.png")
        picture(root / "rgb" / f"{stem}.jpg", colour=True)
    coco(root / "boxes.json", {"a.png": [(1, 0)], "b.png": [(1, 0)]})


@pytest.mark.parametrize(
    ("write", "cameras"),
    [
        (write_m3fd, "both"),
        (write_llvip, "both"),
        (write_flir_aligned, "both"),
        (write_kaist, "both"),
        (write_hit_uav, "thermal"),
        (write_yolo, "thermal"),
        (write_voc, "rgb"),
        (write_coco, "rgb"),
        (write_pairs_with_coco, "both"),
    ],
)
def test_the_same_person_in_every_form(write, cameras: str, tmp_path: Path) -> None:
    write(tmp_path)
    scenes = find_scenes(tmp_path)
    assert len(scenes) == 2
    for scene in scenes:
        assert (scene.thermal is not None, scene.rgb is not None) == (
            cameras in ("thermal", "both"),
            cameras in ("rgb", "both"),
        )
        objects = given_objects(scene, SIZE, usual_map(CLASS_NAMES))
        assert objects is not None
        np.testing.assert_allclose(objects.boxes, [BOX], atol=1e-4)
        assert objects.class_ids.tolist() == [CLASS_NAMES.index("person")]


def test_what_is_left_out_of_pairs_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_m3fd(tmp_path)
    picture(tmp_path / "Ir" / "lonely.png")
    picture(tmp_path / "Vis" / "alone.png")
    (tmp_path / "Annotation" / "b.xml").unlink()
    assert [scene.stem for scene in find_scenes(tmp_path)] == ["a"]
    for words in ("1 without an RGB image", "1 without a thermal image", "1 without a file in Annotation/"):
        assert words in caplog.text


def test_images_that_a_coco_file_lacks_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_coco(tmp_path)
    picture(tmp_path / "val" / "c.jpg", colour=True)
    assert [scene.stem for scene in find_scenes(tmp_path)] == ["a", "b"]
    assert "images left out: 1 not in the COCO files" in caplog.text


def test_crowds_and_unknown_classes_are_counted(tmp_path: Path) -> None:
    picture(tmp_path / "val" / "a.jpg")
    coco(tmp_path / "annotations" / "val.json", {"a.jpg": [(1, 1), (3, 0), (3, 0), (1, 0)]})
    (scene,) = find_scenes(tmp_path)
    objects = given_objects(scene, SIZE, usual_map(CLASS_NAMES))
    assert objects is not None and len(objects.boxes) == 1
    assert objects.left_out == {"of class crowd": 1, "of class othervehicle": 2}
    text(tmp_path / "classes.yaml", "OtherVehicle: truck\n")
    mapped = given_objects(scene, SIZE, read_class_map(tmp_path / "classes.yaml"))
    assert mapped is not None
    assert [CLASS_NAMES[number] for number in mapped.class_ids] == ["truck", "truck"]


def test_numbers_of_a_class_map_are_the_sets_own(tmp_path: Path) -> None:
    """By the names of YOLO's form and the categories of COCO's; a name goes before its number."""
    write_yolo(tmp_path / "yolo")
    write_coco(tmp_path / "coco")
    for folder, number in (("yolo", 1), ("coco", 1)):
        scene = find_scenes(tmp_path / folder)[0]
        for content, meant in ((f"{number}: bus\n", "bus"), (f"{number}: bus\nPERSON: car\n", "car")):
            text(tmp_path / "classes.yaml", content)
            objects = given_objects(scene, SIZE, read_class_map(tmp_path / "classes.yaml"))
            assert objects is not None
            assert [CLASS_NAMES[number] for number in objects.class_ids] == [meant]


def test_classes_of_a_map_of_labels_are_those_that_are_asked_for(tmp_path: Path) -> None:
    picture(tmp_path / "rgb" / "1.png")
    labels = np.zeros((96, 128), np.uint8)
    labels[24:72, 16:32] = 2
    (tmp_path / "labels").mkdir()
    cv2.imwrite(str(tmp_path / "labels" / "1.png"), labels)
    (scene,) = find_scenes(tmp_path)
    for names, ids in ((("deer", "Person"), [1]), (("deer",), [])):
        objects = given_objects(scene, SIZE, usual_map(names))
        assert objects is not None and objects.class_ids.tolist() == ids
    assert objects.left_out == {"of class person": 1}


def test_boxes_are_cut_at_the_border_and_none_is_outside(tmp_path: Path) -> None:
    picture(tmp_path / "thermal" / "a.png")
    text(tmp_path / "boxes" / "a.txt", "0 0 0.5 0.25 0.5\n0 1.5 0.5 0.25 0.5\n")
    (scene,) = find_scenes(tmp_path)
    objects = given_objects(scene, SIZE, usual_map(CLASS_NAMES))
    assert objects is not None
    np.testing.assert_allclose(objects.boxes, [[0, 24, 16, 72]])
    assert objects.left_out == {"without area in the image": 1}


def test_names_of_a_set_are_no_numbers_of_coco(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    for path in (tmp_path / "labels" / "train").iterdir():
        path.write_text(YOLO.format(0))
    objects = given_objects(find_scenes(tmp_path)[0], SIZE, usual_map(CLASS_NAMES))
    assert objects is not None and objects.left_out == {"of class othervehicle": 1}


def test_the_camera_of_a_form_may_be_given(tmp_path: Path) -> None:
    write_voc(tmp_path)
    assert all(scene.thermal is not None for scene in find_scenes(tmp_path, "thermal"))


def test_images_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    rows = {"one/a.jpg": [(1, 0)], "two/a.jpg": [(3, 0), (3, 0)]}
    coco(tmp_path / "boxes.json", rows)
    file = read_coco(tmp_path / "boxes.json")
    assert len(file.objects([tmp_path / "two" / "a.jpg"])[0]) == 2
    assert not file.has(tmp_path / "three" / "a.jpg")


@pytest.mark.parametrize("content", ["[]", "{", '{"images": [{"id": 1}]}', '{"images": 3}'])
def test_what_is_no_coco_file_is_named(content: str, tmp_path: Path) -> None:
    text(tmp_path / "boxes.json", content)
    with pytest.raises(DataError, match=r"boxes.json is not of COCO's form"):
        read_coco(tmp_path / "boxes.json")


def test_an_empty_folder_says_what_is_known(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="M3FD, MSRS, LLVIP"):
        find_scenes(tmp_path)


def test_a_map_is_taken_before_numbers_that_nothing_explains(tmp_path: Path) -> None:
    for folder in ("ir", "vi", "Segmentation_labels"):
        picture(tmp_path / folder / "1D.png")
    text(tmp_path / "labels" / "1D.txt", YOLO.format(1))
    (scene,) = find_scenes(tmp_path)
    assert scene.boxes is None and scene.labels is not None
    assert isinstance(scene, Scene)
