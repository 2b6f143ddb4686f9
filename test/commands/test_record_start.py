"""`ivfusion record --start`: films, which have no clock, at the time when they were taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ivfusion_ros import cli
from ivfusion_ros.bags import BagReader
from ivfusion_ros.images.files import write_image

if TYPE_CHECKING:
    from pathlib import Path

WHEN_NS = 1_795_932_000_500_000_000


def folders(root: Path) -> list[str]:
    for camera, shape in (("thermal", (8, 8)), ("rgb", (8, 8, 3))):
        for index in range(3):
            write_image(root / camera / f"{index}.png", np.full(shape, 20 * index, np.uint8))
    return [str(root / "thermal"), str(root / "rgb")]


@pytest.fixture
def pair_folders(tmp_path: Path) -> list[str]:
    for camera in ("thermal", "rgb"):
        (tmp_path / camera).mkdir()
    return folders(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "1795932000.5",
        "2026-11-29T06:00:00.500Z",
        "2026-11-29T06:00:00.500",
        "2026-11-29T07:00:00.500+01:00",
    ],
)
def test_the_first_frame_has_the_time_and_the_rest_keep_their_distance(
    tmp_path: Path, pair_folders: list[str], text: str
) -> None:
    out = tmp_path / "out.mcap"
    assert cli.main(["record", *pair_folders, str(out), "--rate", "10", "--start", text]) == 0
    with BagReader(out) as reader:
        frames = list(reader.frames(reader.choose_topics()))
    stamps = [frame.stamp_ns for camera, frame in frames if camera == "rgb"]
    assert stamps == [WHEN_NS, WHEN_NS + 100_000_000, WHEN_NS + 200_000_000]
    assert {frame.received_ns for _, frame in frames} == set(stamps)


def test_what_is_no_time(
    tmp_path: Path, pair_folders: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["record", *pair_folders, str(tmp_path / "out.mcap"), "--start", "noon"])
    assert (
        "'noon' is no time that a header holds, expected such as 2026-11-29T06:00:00Z"
        in capsys.readouterr().err
    )
