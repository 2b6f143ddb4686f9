"""Data sets as they are published are what training and evaluation take."""

from pathlib import Path

import numpy as np
import pytest

from ivfusion_ros.evaluation.fusion.pairs import read_pairs
from ivfusion_ros.images.files import write_image


def publish(root: Path, folders: tuple[str, str], names: list[str]) -> Path:
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for name in names:
            write_image(root / folder / f"{name}.png", np.full((16, 16), 9, np.uint8))
    return root


def test_evaluation_reads_parts_that_have_equal_names(tmp_path: Path) -> None:
    for number in ("00", "01"):
        places = (f"set{number}/V000/lwir", f"set{number}/V000/visible")
        publish(tmp_path, places, ["I00000", "I00002"])
    pairs = read_pairs([tmp_path])
    assert [pair.stem for pair in pairs] == [
        f"{number}_000_{name}" for number in ("00", "01") for name in ("I00000", "I00002")
    ]
    assert len({pair.thermal for pair in pairs}) == 4


def test_training_splits_a_part(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from ivfusion_ros.training.fusion.config import TrainConfig
    from ivfusion_ros.training.fusion.split import split_folders

    publish(tmp_path, ("infrared/train", "visible/train"), [f"{n:06d}" for n in range(0, 200, 10)])
    publish(tmp_path, ("infrared/test", "visible/test"), ["190001"])
    split = split_folders([tmp_path / "train"], ("thermal", "rgb"), TrainConfig(validation_fraction=0.2))
    assert len(split.training) + len(split.validation) == 20 and split.validation
    assert all(pair.thermal.parent.name == "train" for pair in (*split.training, *split.validation))
