"""Scenes of detectors in all the forms that sets are published in."""

import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from ivfusion_ros.detection.classes import CLASS_NAMES, read_class_map, usual_map
from ivfusion_ros.detection.given import given_objects, told
from ivfusion_ros.errors import DataError
from ivfusion_ros.images.coco_json import read_coco
from ivfusion_ros.images.labels import read_objects
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


def write_whole_hit_uav(root: Path) -> None:
    """The whole repository: each image in four forms."""
    write_hit_uav(root)
    for stem in "ab":
        for form in ("normal_xml", "rotate_xml"):
            picture(root / form / "JPEGImages" / f"{stem}.jpg")
            text(root / form / "Annotations" / f"{stem}.xml", VOC.format("Person"))
    write_rotated_json(root)


def write_rotated_json(root: Path) -> None:
    picture(root / "rotate_json" / "train" / "a.jpg")
    path = root / "rotate_json" / "annotations" / "train.json"
    coco(path, {"a.jpg": [(1, 0)]})
    path.write_text(path.read_text().replace("[16, 24, 16, 48]", "[24, 48, 16, 48, 0.2]"))


def write_flir_adas(root: Path) -> None:
    picture(root / "train" / "RGB" / "a.jpg", colour=True)
    for part, stem in (("train", "a"), ("val", "b")):
        picture(root / part / "thermal_8_bit" / f"{stem}.jpeg")
        coco(root / part / "thermal_annotations.json", {f"thermal_8_bit/{stem}.jpeg": [(1, 0)]})


def write_kaist_sanitized(root: Path) -> None:
    write_kaist(root)
    for stem in "ab":
        path = root / "annotations" / "set00" / "V000" / f"{stem}.txt"
        path.write_text(KAIST.format("cyclist"))
        text(
            root / "annotations-xml-new-sanitized" / "set00" / "V000" / f"{stem}.xml", VOC.format("person")
        )


def write_yolo_in_capitals(root: Path) -> None:
    write_yolo(root)
    for path in (root / "labels" / "train").iterdir():
        path.rename(path.with_suffix(".TXT"))


def write_voc_in_small_letters(root: Path) -> None:
    write_voc(root)
    (root / "JPEGImages").rename(root / "images")
    (root / "Annotations").rename(root / "annotations")


def write_voc_beside(root: Path) -> None:
    for stem in "ab":
        picture(root / f"{stem}.jpg", colour=True)
        text(root / f"{stem}.xml", VOC.format("person"))


def write_coco_above(root: Path) -> None:
    for stem in "ab":
        picture(root / "images" / f"{stem}.jpg", colour=True)
    coco(root / "coco.json", {"images/a.jpg": [(1, 0)], "images/b.jpg": [(1, 0)]})


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
        (write_whole_hit_uav, "thermal"),
        (write_flir_adas, "thermal"),
        (write_kaist_sanitized, "both"),
        (write_yolo_in_capitals, "thermal"),
        (write_voc_in_small_letters, "rgb"),
        (write_voc_beside, "rgb"),
        (write_coco_above, "rgb"),
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


def test_coco_files_of_sentences_hold_no_boxes(tmp_path: Path) -> None:
    """A whole COCO was refused for them."""
    write_coco(tmp_path)
    sentences = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [{"id": 1, "caption": "a dog"}],
    }
    text(tmp_path / "annotations" / "captions_val.json", json.dumps(sentences))
    assert {scene.boxes for scene in find_scenes(tmp_path)} == {
        tmp_path / "annotations" / "instances_val.json"
    }


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


def test_one_form_of_a_set_that_has_several_is_taken(tmp_path: Path, caplog) -> None:
    caplog.set_level("INFO")
    write_whole_hit_uav(tmp_path)
    boxes = {scene.boxes for scene in find_scenes(tmp_path)}
    assert boxes == {tmp_path / "normal_json" / "annotations" / "train.json"}
    assert "(HIT-UAV, normal_json): 2 scenes" in caplog.text


def test_rotated_boxes_are_refused(tmp_path: Path) -> None:
    write_rotated_json(tmp_path)
    with pytest.raises(DataError, match=r"annotation 1 .* 5 numbers are a rotated box.* normal_json/"):
        find_scenes(tmp_path)
    rotated = VOC.replace("bndbox", "robndbox").format("car")
    with pytest.raises(DataError, match=r"object 1 \(car\) has <robndbox>; .* normal_json/"):
        objects_of(tmp_path / "voc", "a.xml", rotated)


def objects_of(root: Path, name: str, content: str) -> tuple[list[list[float]], list[int | str]]:
    """What a file of objects says of an image of SIZE."""
    text(root / name, content)
    boxes, words = read_objects(root / name, [root / "a.jpg"], SIZE)
    return boxes.tolist(), words


def test_parts_that_a_set_holds_out(tmp_path: Path) -> None:
    write_flir_adas(tmp_path / "flir")
    write_flir_aligned(tmp_path / "aligned")
    text(tmp_path / "aligned" / "align_validation.txt", "FLIR_b_PreviewData\n")
    text(tmp_path / "aligned" / "align_train.txt", "FLIR_a_PreviewData\n")
    write_voc(tmp_path / "voc")
    text(tmp_path / "voc" / "ImageSets" / "Main" / "test.txt", "b\n")
    write_kaist(tmp_path / "kaist")
    for folder in ("images", "annotations"):
        path = tmp_path / "kaist" / folder / "set06" / "V000"
        path.parent.mkdir()
        (tmp_path / "kaist" / folder / "set00" / "V000").rename(path)
    expected = {
        "flir": ["", "val"],
        "aligned": ["", "validation"],
        "voc": ["", "test"],
        "kaist": ["06", "06"],
    }
    found = {name: [scene.held_out for scene in find_scenes(tmp_path / name)] for name in expected}
    assert found == expected


def test_a_part_of_a_set_that_has_no_folder_of_its_own(tmp_path: Path) -> None:
    write_llvip(tmp_path)
    picture(tmp_path / "infrared" / "test" / "c.jpg")
    picture(tmp_path / "visible" / "test" / "c.jpg")
    text(tmp_path / "Annotations" / "c.xml", VOC.format("person"))
    assert [(scene.stem, scene.held_out) for scene in find_scenes(tmp_path / "test")] == [("c", "")]
    with pytest.raises(DataError, match="there is no folder"):
        find_scenes(tmp_path / "val")


@pytest.mark.parametrize(
    ("write", "path", "content"),
    [
        (write_yolo, "labels/train/lonely.txt", YOLO.format(1)),
        (write_voc, "Annotations/lonely.xml", VOC.format("person")),
        (write_m3fd, "Annotation/lonely.xml", VOC.format("person")),
    ],
)
def test_boxes_without_an_image_are_told(write, path: str, content: str, tmp_path: Path, caplog) -> None:
    write(tmp_path)
    text(tmp_path / "labels" / "train" / "classes.txt", "person\n")
    text(tmp_path / path, content)
    assert len(find_scenes(tmp_path)) == 2
    assert "files of boxes without an image: 1" in caplog.text


def test_what_else_has_no_partner_is_told(tmp_path: Path, caplog) -> None:
    caplog.set_level("INFO")
    write_coco(tmp_path / "coco")
    (tmp_path / "coco" / "val" / "b.jpg").unlink()
    assert [scene.stem for scene in find_scenes(tmp_path / "coco")] == ["a"]
    assert "images in COCO files without an image: 1" in caplog.text
    write_yolo(tmp_path / "yolo")
    picture(tmp_path / "yolo" / "images" / "train" / "a.png")
    (tmp_path / "yolo" / "labels" / "train" / "b.txt").unlink()
    assert [scene.image.name for scene in find_scenes(tmp_path / "yolo")] == ["a.png", "b.jpg"]
    assert "images left out: 1 of the name of another, with another suffix" in caplog.text
    assert "1 scenes have no text file of boxes" in caplog.text


def test_lines_of_yolo_in_all_their_forms(tmp_path: Path) -> None:
    lines = (
        "\ufeff" + YOLO.format(2),
        YOLO.format(2).strip() + " 0.93\n",
        "2 0.125 0.25 0.25 0.25 0.25 0.75 0.125 0.5\r\n",
    )
    for line in lines:
        boxes, words = objects_of(tmp_path, "a.txt", line)
        assert boxes == [BOX] and words == [2]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 320 240 20 60", "looks like pixels; .*shares of the image's size"),
        ("0 0.5 0.5 0.2", "has 4 numbers; expected YOLO's class, centre x, y, width, height"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "has 8 numbers"),
        ("person 0.5 0.5 0.2 0.2", "is no list of finite numbers"),
        ("0.5 0.5 0.5 0.2 0.2", "has the class 0.5"),
    ],
)
def test_a_line_that_is_none_of_yolos_is_named(line: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"a.txt, line 2, .*{said}"):
        objects_of(tmp_path, "a.txt", YOLO.format(0) + line + "\n")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"category_id": 1', '"category_id": 77', r"annotation 1 .* category_id .* `categories` \(1, 3\)"),
        ('"image_id": 1', '"image_id": 777', r"annotation 2 .* image_id .* `images` \(0, 1\)"),
        ('"id": 1, "file_name"', '"id": 0, "file_name"', "`images` has a.png and b.png under one id, 0"),
        ("[16, 24, 16, 48]", "[16, 24, 16]", "annotation 1 .*`bbox` to be left, top, width, height"),
    ],
)
def test_an_entry_of_coco_that_fits_no_other_is_named(
    old: str, new: str, said: str, tmp_path: Path
) -> None:
    write_pairs_with_coco(tmp_path)
    path = tmp_path / "boxes.json"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=f"boxes.json: {said}"):
        read_coco(path)


def test_a_class_map_is_named_where_it_helps(tmp_path: Path) -> None:
    assert "class map" in told(Counter({"of class dog": 1}), usual_map(CLASS_NAMES))
    assert "class map" not in told(Counter({"without area in the image": 1}), usual_map(CLASS_NAMES))
    write_voc(tmp_path)
    text(tmp_path / "Annotations" / "a.xml", VOC.replace("<name>{}</name>", ""))
    objects = given_objects(find_scenes(tmp_path)[0], SIZE, usual_map(CLASS_NAMES))
    assert objects is not None and objects.left_out == {"without the name of a class": 1}


def test_names_of_a_set_that_are_none_are_refused(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    text(tmp_path / "dataset.yaml", "names: 5\n")
    with pytest.raises(DataError, match="`names` is 5, expected a list of names or `number: name`"):
        find_scenes(tmp_path)
    text(tmp_path / "dataset.yaml", "names: {0: deer, 2: person}\n")
    assert find_scenes(tmp_path)[0].names == ("deer", "1", "person")


def test_a_folder_of_another_form_says_what_lies_in_it(tmp_path: Path) -> None:
    picture(tmp_path / "train" / "left" / "a.jpg")
    text(tmp_path / "list.csv", "a")
    with pytest.raises(
        DataError, match=r"in it: 1 .jpg in train/left/, 1 .csv\. .*Pascal VOC: JPEGImages/stem"
    ):
        find_scenes(tmp_path)


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
