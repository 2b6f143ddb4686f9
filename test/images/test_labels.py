"""Boxes of Pascal VOC's form, and files that only look like it."""

import os

import numpy as np
import pytest

from ivfusion_ros.errors import DataError
from ivfusion_ros.images.labels import read_objects, read_voc

BOX = "<bndbox><xmin>1</xmin><ymin>2.5</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>"


def test_boxes_and_names(tmp_path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(f"<annotation><object><name> People </name>{BOX}</object></annotation>")
    boxes, words = read_voc(path)
    np.testing.assert_array_equal(boxes, np.array([[1, 2.5, 30, 40]], np.float32))
    assert words == ["people"]


def test_an_image_without_objects_has_no_boxes(tmp_path) -> None:
    (tmp_path / "a.xml").write_text("<annotation/>")
    boxes, words = read_voc(tmp_path / "a.xml")
    assert boxes.shape == (0, 4) and words == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<annotation>",
        '<?xml version="1.0" encoding="no-such"?><annotation/>',
        "<annotation><object><name>car</name></object></annotation>",
        f"<annotation><object><name>car</name>{BOX.replace('30', 'wide')}</object></annotation>",
    ],
)
def test_a_file_of_another_form_is_named(tmp_path, text) -> None:
    (tmp_path / "odd.xml").write_text(text)
    with pytest.raises(DataError, match=r"odd\.xml has no boxes of Pascal VOC's form"):
        read_voc(tmp_path / "odd.xml")


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe.xml")
    with pytest.raises(DataError, match="not a regular file"):
        read_voc(tmp_path / "pipe.xml")


@pytest.mark.parametrize("number", ["nan", "inf", "1e39"])
def test_boxes_are_finite_in_every_form(tmp_path, number) -> None:
    bare = {"nan": "NaN", "inf": "Infinity"}.get(number, number)
    forms = {
        "a.xml": "<annotation><object><name>car</name><bndbox><xmin>1</xmin><ymin>2</ymin>"
        f"<xmax>{number}</xmax><ymax>9</ymax></bndbox></object></annotation>",
        "a.json": '{"images": [{"id": 1, "file_name": "a.png"}], "categories": [{"id": 1, "name": "car"}], '
        f'"annotations": [{{"image_id": 1, "category_id": 1, "bbox": [1, 2, {bare}, 3]}}]}}',
        "a.txt": f"0 0.5 0.5 {number} 0.1\n",
        "k.txt": f"% bbGt version=3\nperson 1 2 {number} 4 0 0 0 0 0 0 0\n",
    }
    for name, text in forms.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match="finite"):
            read_objects(tmp_path / name, [tmp_path / "a.png"], (64, 48))
