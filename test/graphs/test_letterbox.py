"""Images are fitted into the network's input, and boxes come back to their place."""

import numpy as np
import pytest

from ivfusion_ros.graphs.letterbox import Letterbox

WIDTH, HEIGHT = 96, 64


@pytest.mark.parametrize("size", [(97, 31), (200, 50), (64, 96), (33, 65), (192, 128), (1, 7)])
def test_letterbox_and_back(size: tuple[int, int]) -> None:
    width, height = size
    box = Letterbox.fit(size, (WIDTH, HEIGHT))
    canvas = box.apply(np.full((height, width, 3), 200, np.uint8))
    rows, columns = np.nonzero((canvas == 200).all(axis=2))
    extent = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    assert canvas.shape == (HEIGHT, WIDTH, 3)
    assert set(np.unique(canvas)) <= {114, 200}
    assert extent[0, 2] - extent[0, 0] == WIDTH or extent[0, 3] - extent[0, 1] == HEIGHT
    # Centred: what is left over differs by no more than one pixel.
    assert abs(extent[0, 0] - (WIDTH - extent[0, 2])) <= 1
    assert abs(extent[0, 1] - (HEIGHT - extent[0, 3])) <= 1
    np.testing.assert_allclose(box.to_image(extent), [[0, 0, width, height]], atol=1e-3)


def test_a_mark_in_the_image_comes_back_to_its_place() -> None:
    image = np.zeros((300, 500, 3), np.uint8)
    image[120:180, 50:250] = 255
    box = Letterbox.fit((500, 300), (640, 480))
    rows, columns = np.nonzero((box.apply(image) > 150).all(axis=2))
    mark = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    np.testing.assert_allclose(box.to_image(mark), [[50, 120, 250, 180]], atol=1)
