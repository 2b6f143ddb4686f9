"""Data sets as they are published are what training and evaluation take."""

from pathlib import Path

import numpy as np
import pytest

from ivfusion_ros.errors import DataError
from ivfusion_ros.evaluation.fusion.pairs import read_pairs
from ivfusion_ros.images.files import write_image
from ivfusion_ros.sources.layouts import find_pairs
from ivfusion_ros.sources.published import pairs_to_judge_by, pairs_to_learn_from


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


@pytest.mark.parametrize("by_list", [False, True])
def test_parts_published_to_judge_by_are_not_learned_from(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, by_list: bool
) -> None:
    """A whole MSRS or LLVIP took its published test part in."""
    names, judged = [f"{n:05d}D" for n in range(0, 200, 10)], ["00501D", "00502D"]
    if by_list:
        publish(tmp_path, ("ir", "vi"), names + judged)
        (tmp_path / "test.txt").write_text("".join(f"{name}.png\n" for name in judged))
    else:
        publish(tmp_path, ("train/ir", "train/vi"), names)
        publish(tmp_path, ("test/ir", "test/vi"), judged)
    assert len(find_pairs(tmp_path)) == 22
    with caplog.at_level("INFO"):
        pairs = pairs_to_learn_from(tmp_path)
    assert sorted(pair.thermal.stem for pair in pairs) == names
    assert "left out, published to judge by: 2 in test" in caplog.text


def test_a_set_is_judged_by_the_part_that_was_published_for_it(tmp_path: Path) -> None:
    publish(tmp_path / "a", ("train/ir", "train/vi"), ["00001D", "00002D"])
    publish(tmp_path / "a", ("test/ir", "test/vi"), ["00501D"])
    publish(tmp_path / "b", ("thermal", "rgb"), ["00001D", "00002D"])
    assert [pair.thermal.stem for pair in pairs_to_judge_by(tmp_path / "a")] == ["00501D"]
    assert len(pairs_to_judge_by(tmp_path / "a" / "train")) == 2
    assert len(pairs_to_judge_by(tmp_path / "b")) == 2


@pytest.mark.parametrize(("name", "held"), [("VAL.TXT", 2), ("val.txt", 2), ("other.txt", 0)])
def test_capitals_of_a_list_do_not_matter(tmp_path: Path, name: str, held: int) -> None:
    publish(tmp_path, ("thermal", "rgb"), [f"{n:05d}" for n in range(6)])
    (tmp_path / name).write_text("./images/val/00004.png\r\n00005\r\n")
    assert len(pairs_to_learn_from(tmp_path)) == 6 - held


def test_a_list_that_names_no_image_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its images were trained on without a word."""
    publish(tmp_path, ("thermal", "rgb"), ["00001", "00002"])
    (tmp_path / "val.txt").write_text("x_00001\nx_00002\n")
    assert len(pairs_to_learn_from(tmp_path)) == 2
    assert f"{tmp_path / 'val.txt'} names none of the 4 images" in caplog.text
    caplog.clear()
    (tmp_path / "val.txt").write_text("00001\n00002\n")
    with pytest.raises(DataError, match=r"2 in val\).*take the lists of names away if these pairs are"):
        pairs_to_learn_from(tmp_path)
    assert not caplog.text


def test_folders_with_pairs_below_are_named(tmp_path: Path) -> None:
    publish(tmp_path, ("train/thermal", "train/rgb"), ["00001"])
    publish(tmp_path, ("test/thermal", "test/rgb"), ["00002"])
    with pytest.raises(DataError, match=r"there are pairs in \S+/test, \S+/train: give one of them"):
        find_pairs(tmp_path)


def test_a_part_that_is_given_by_itself_is_taken(tmp_path: Path) -> None:
    publish(tmp_path, ("infrared/test", "visible/test"), ["190001", "190002"])
    assert len(pairs_to_learn_from(tmp_path / "test")) == 2
    with pytest.raises(DataError, match=r"none of its 2 pairs.*2 in test\).*if that part is meant"):
        pairs_to_learn_from(tmp_path)


def test_training_takes_no_published_test_part(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from ivfusion_ros.training.fusion.config import TrainConfig
    from ivfusion_ros.training.fusion.split import split_folders

    publish(tmp_path, ("infrared/train", "visible/train"), [f"{n:06d}" for n in range(0, 200, 10)])
    publish(tmp_path, ("infrared/test", "visible/test"), ["190001"])
    split = split_folders([tmp_path], ("thermal", "rgb"), TrainConfig(validation_fraction=0.2))
    assert {pair.thermal.parent.name for pair in (*split.training, *split.validation)} == {"train"}
    assert len(split.training) + len(split.validation) == 20
