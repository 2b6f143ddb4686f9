"""Pictures: boxes where they belong, labels inside, sizes as promised."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivfusion_ros.images.draw import PALETTE, annotate, outline, scaled, triptych
from ivfusion_ros.images.sheet import contact_sheet, heading
from ivfusion_ros.types import UNTRACKED, Detections, FusionResult

NAMES = ("person", "car", "traffic light with a very long name")


def make_detections(
    *boxes: tuple[float, float, float, float], class_ids: tuple[int, ...] = ()
) -> Detections:
    ids = np.array(class_ids or (0,) * len(boxes), np.int64)
    scores = np.linspace(0.9, 0.3, len(boxes)).astype(np.float32)
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), scores, ids, NAMES)


def changed(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows, columns) of the pixels that differ."""
    return np.nonzero((before != after).any(axis=2))


def test_box_is_drawn_on_its_edges_and_the_image_is_left_alone() -> None:
    image = np.full((480, 640, 3), 30, np.uint8)
    picture = annotate(image, make_detections((100, 200, 300, 400), class_ids=(1,)))
    assert (image == 30).all()
    for x, y in ((100, 300), (300, 300), (200, 400)):
        assert tuple(picture[y, x]) == PALETTE[1]
    assert (picture[230:390, 110:290] == 30).all()  # the object stays visible
    rows, columns = changed(image, picture)
    assert rows.min() > 150 and rows.max() <= 403 and columns.min() >= 97 and columns.max() <= 303


def test_label_is_legible_and_above_its_box() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    label = annotate(image, make_detections((100, 200, 300, 400)))[170:196, 100:190]
    background = (label == PALETTE[0]).all(axis=2)
    ink = (label == 0).all(axis=2)[background.any(axis=1)]
    assert background.sum() > 300
    assert ink.sum() > 60  # dark letters on the light field


def test_classes_differ_in_colour_and_repeat() -> None:
    assert len(set(PALETTE)) == len(PALETTE)
    image = np.zeros((100, 100, 3), np.uint8)
    pictures = [annotate(image, make_detections((20, 40, 80, 90), class_ids=(i,))) for i in (0, 1, 1)]
    assert tuple(pictures[0][90, 50]) != tuple(pictures[1][90, 50])
    np.testing.assert_array_equal(pictures[1], pictures[2])


def test_thickness_grows_with_the_image() -> None:
    def thickness(height: int, width: int) -> int:
        image = np.zeros((height, width, 3), np.uint8)
        box = (width * 0.25, height * 0.25, width * 0.75, height * 0.75)
        row = annotate(image, make_detections(box))[height // 2]
        return int((row[: width // 2] != 0).any(axis=1).sum())

    assert thickness(120, 160) == 1
    assert thickness(480, 640) >= 2
    assert thickness(2160, 3840) >= 6


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    corners=st.lists(st.tuples(*[st.floats(0, 1)] * 4), max_size=6),
)
def test_any_boxes_on_any_image(height: int, width: int, corners: list) -> None:
    boxes = [
        (min(a, c) * width, min(b, d) * height, max(a, c) * width, max(b, d) * height)
        for a, b, c, d in corners
    ]
    ids = tuple(index % len(NAMES) for index in range(len(boxes)))
    image = np.full((height, width, 3), 90, np.uint8)
    picture = annotate(image, make_detections(*boxes, class_ids=ids))
    assert picture.shape == image.shape and picture.dtype == np.uint8
    assert bool(boxes) == bool((picture != image).any())


@pytest.mark.parametrize(
    "box", [(0, 0, 60, 60), (590, 0, 640, 50), (0, 440, 40, 480), (600, 450, 640, 480)]
)
def test_labels_stay_inside(box: tuple[int, int, int, int]) -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    reference = annotate(image, make_detections((300, 240, 350, 300), class_ids=(2,)))
    picture = annotate(image, make_detections(box, class_ids=(2,)))

    def label_area(drawn: np.ndarray) -> int:
        rows = (drawn == PALETTE[2]).all(axis=2).sum(axis=1)
        return int((rows > 100).sum())

    assert label_area(picture) >= label_area(reference) - 6 > 5


Fields = list[tuple[str, tuple[int, int, int, int]]]


def labels_of(picture: np.ndarray, detections: Detections, monkeypatch: pytest.MonkeyPatch) -> Fields:
    """Text and field (left, top, right, bottom) of each label that is drawn."""
    fields: list[tuple[int, int, int, int]] = []
    texts: list[str] = []
    rectangle, put_text = cv2.rectangle, cv2.putText

    def noted_rectangle(image, start, end, colour, thickness):
        if thickness == cv2.FILLED:
            fields.append((*start, end[0] + 1, end[1] + 1))
        return rectangle(image, start, end, colour, thickness)

    def noted_text(image, text, *rest):
        texts.append(text)
        return put_text(image, text, *rest)

    monkeypatch.setattr(cv2, "rectangle", noted_rectangle)
    monkeypatch.setattr(cv2, "putText", noted_text)
    annotate(picture, detections)
    monkeypatch.undo()
    return list(zip(texts, fields, strict=True))


def apart(first: tuple[int, int, int, int], second: tuple[int, int, int, int]) -> bool:
    return first[0] >= second[2] or second[0] >= first[2] or first[1] >= second[3] or second[1] >= first[3]


def test_labels_name_class_track_score_and_temperature(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.zeros((480, 640, 3), np.uint8)
    found = replace(
        make_detections((20, 200, 60, 300), (300, 200, 400, 300), class_ids=(0, 1)),
        track_ids=np.array([12, UNTRACKED]),
        max_kelvin=np.array([309.4, np.nan], np.float32),
    )
    assert [text for text, _ in labels_of(picture, found, monkeypatch)] == [
        "person #12 0.90 36C",
        "car 0.30",
    ]


@pytest.mark.parametrize(("width", "height"), [(640, 480), (320, 240), (160, 120)])
def test_labels_of_a_crowd_are_apart_and_hide_nobody(
    width: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scale = width / 640
    people = [(x * scale, 220 * scale, (x + 30) * scale, 320 * scale) for x in range(60, 560, 36)]
    found = replace(make_detections(*people), track_ids=np.arange(1, len(people) + 1))
    labels = labels_of(np.zeros((height, width, 3), np.uint8), found, monkeypatch)
    fields = [field for _, field in labels]
    assert all(apart(a, b) for index, a in enumerate(fields) for b in fields[:index])
    assert len(labels) >= {640: 12, 320: 8, 160: 4}[width]
    for field in fields:
        for left, top, right, bottom in people:
            wide = min(field[2], right) - max(field[0], left)
            high = min(field[3], bottom) - max(field[1], top)
            assert max(0, wide) * max(0, high) <= 0.55 * (right - left) * (bottom - top)
    # The surest one has its whole text, and in a small picture the others their numbers.
    assert labels[0][0] == "person #1 0.90"
    assert width > 160 or all(text.startswith("#") for text, _ in labels[1:])


def test_outline_is_white_on_black_and_leaves_the_image_alone() -> None:
    image = np.full((240, 320, 3), 120, np.uint8)
    picture = outline(image, np.array([[50, 60, 150, 160]], np.float32))
    assert (image == 120).all()
    assert tuple(picture[100, 50]) == (255, 255, 255) and tuple(picture[100, 49]) == (0, 0, 0)
    assert (picture[70:150, 60:140] == 120).all()


def make_result(with_detections: bool) -> FusionResult:
    rng = np.random.default_rng(0)
    return FusionResult(
        fused=rng.integers(0, 256, (90, 120, 3), np.uint8),
        thermal=rng.integers(0, 256, (90, 120), np.uint8),
        rgb=rng.integers(0, 256, (90, 120, 3), np.uint8),
        stamp_ns=0,
        detections=make_detections((30, 40, 80, 80)) if with_detections else None,
    )


@pytest.mark.parametrize("with_detections", [True, False])
def test_triptych_shows_thermal_rgb_and_annotated_fused(with_detections: bool) -> None:
    result = make_result(with_detections)
    picture = triptych(result)
    assert picture.shape == (90, 360, 3) and picture.dtype == np.uint8
    fused = annotate(result.fused, result.detections) if result.detections else result.fused
    below = slice(30, None)  # the captions end above
    np.testing.assert_array_equal(picture[below, :120], np.dstack([result.thermal] * 3)[below])
    np.testing.assert_array_equal(picture[below, 120:240], result.rgb[below])
    np.testing.assert_array_equal(picture[below, 240:], fused[below])
    for start in (0, 120, 240):
        assert (picture[:3, start : start + 10] == 0).all()  # the captions' background


def test_contact_sheet_places_images_row_by_row() -> None:
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    images = [np.full((60, 80, 3), colour, np.uint8) for colour in colours]
    sheet = contact_sheet(images, columns=2, cell_width=160)
    assert sheet.shape == (240, 320, 3)
    for (row, column), colour in zip([(0, 0), (0, 1), (1, 0)], colours, strict=True):
        cell = sheet[row * 120 : row * 120 + 120, column * 160 : column * 160 + 160]
        assert (cell == colour).all()
    assert len(np.unique(sheet[120:, 160:])) == 1  # the empty place
    titled = contact_sheet(images, ["a", "b", "c"], columns=3, cell_width=160)
    strip = titled.shape[0] - 120
    assert 15 < strip < 40
    assert titled.shape[1] == 480
    assert (titled[:strip, :160] > 200).any() and (titled[strip:, :160] == colours[0]).all()


@pytest.mark.parametrize(
    "title", ["fused, step 12000: VIF 0.812, Qabf 0.512", "a_file_name_without_a_space_in_it"]
)
def test_long_titles_take_several_lines(title: str) -> None:
    image = np.full((60, 100, 3), 90, np.uint8)
    sheet = contact_sheet([image, image], [title, "b"], columns=2, cell_width=100)
    strip = sheet[: len(sheet) - 60]
    lines = len(strip) // 20
    assert lines >= 3 and sheet.shape[1] == 200
    for line in range(lines):
        own = strip[20 * line : 20 * line + 20, :100]
        # Something stands in each line, and nothing is cut off at its end.
        assert (own > 200).any() and (own[:, -4:] == own[0, -1]).all()
    assert (heading(title, 1000, 100) > 200).any() and len(heading(title, 1000, 100)) == 20


def test_text_is_drawn_on_what_is_shown_and_not_scaled_with_it() -> None:
    result = make_result(True)
    large = replace(
        result,
        **{
            name: np.repeat(np.repeat(getattr(result, name), 4, axis=0), 4, axis=1)
            for name in ("thermal", "rgb", "fused")
        },
        detections=scaled(result.detections, 4),
    )
    np.testing.assert_array_equal(triptych(large, 120), triptych(result))
    np.testing.assert_array_equal(triptych(result, 500), triptych(result))


def test_contact_sheet_keeps_the_aspect_of_other_sizes() -> None:
    first, tall = np.full((50, 100, 3), 10, np.uint8), np.full((200, 100, 3), 250, np.uint8)
    sheet = contact_sheet([first, tall], columns=2, cell_width=100)
    assert sheet.shape == (50, 200, 3)
    rows, columns = np.nonzero((sheet == 250).all(axis=2))
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (50, 25)
    assert columns.min() == 100 + 37


@pytest.mark.parametrize(("count", "titles", "columns"), [(0, [], 1), (2, ["one"], 1), (2, [], 0)])
def test_contact_sheet_refuses_nonsense(count: int, titles: list[str], columns: int) -> None:
    with pytest.raises(ValueError, match="contact sheet of"):
        contact_sheet([np.zeros((4, 4, 3), np.uint8)] * count, titles, columns)
