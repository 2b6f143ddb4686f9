import math

import numpy as np
import pytest

from ivfusion_ros.report.chart import HEIGHT, WIDTH, chart_of


def points(line):
    return np.array([pair.split(",") for pair in line.points.split()], np.float64)


def test_a_value_stands_at_its_height_in_the_middle_of_its_place() -> None:
    chart = chart_of("time, ms", {"fuse": [0.0, 4.0, 7.3]})
    assert chart.top == 8.0
    expected = [[WIDTH / 6, HEIGHT], [WIDTH / 2, HEIGHT / 2], [WIDTH * 5 / 6, HEIGHT * (1 - 7.3 / 8)]]
    assert points(chart.lines[0]) == pytest.approx(np.array(expected), abs=0.06)


def test_what_is_not_known_leaves_a_gap() -> None:
    chart = chart_of("time, ms", {"detect": [1.0, math.nan, 1.0, 1.0], "none": [math.nan] * 4})
    assert [line.name for line in chart.lines] == ["detect", "detect"]
    assert [len(points(line)) for line in chart.lines] == [1, 2]


def test_of_many_values_the_peaks_are_kept() -> None:
    values = np.zeros(25_000)
    values[12_345] = 60.0
    (line,) = chart_of("time, ms", {"fuse": values}, [12_345]).lines
    drawn = points(line)
    assert len(drawn) <= 1000 and drawn[:, 1].min() == 0.0
    assert drawn[drawn[:, 1].argmin(), 0] == pytest.approx(WIDTH * 12_345 / 25_000, abs=1)


@pytest.mark.parametrize(
    ("value", "top"), [(0.0, 1.0), (0.2, 0.2), (0.21, 0.3), (99.0, 100.0), (1000.0, 1000.0)]
)
def test_the_upper_edge_is_a_plain_number(value, top) -> None:
    assert chart_of("", {"a": [value]}).top == pytest.approx(top, rel=1e-12)
