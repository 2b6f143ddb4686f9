"""Outputs are there whole or not at all, and nothing but a regular file is ever replaced."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from ivfusion_ros.files import whole_file
from ivfusion_ros.images.files import read_image, write_image


def test_nothing_at_the_name_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with whole_file(path) as temporary:
        temporary.write_text("new")
        assert not path.exists() and temporary.name.startswith(".a.json.")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for target in (tmp_path / "there" / "old.json", tmp_path / "there" / "new.json"):
        link = tmp_path / f"link_{target.name}"
        link.symlink_to(target)
        if target.name == "old.json":
            target.write_text("old")
        with whole_file(link) as temporary:
            temporary.write_text("written")
        assert link.is_symlink() and target.read_text() == "written"


def test_a_pipe_is_written_through(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()), daemon=True)
    reader.start()
    with whole_file(pipe) as path:
        path.write_text("figures")
    reader.join(10)
    assert got == ["figures"] and pipe.is_fifo()


def test_errors_name_the_file_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    for path in (tmp_path / "nowhere" / "a.json", tmp_path / "file" / "a.json", tmp_path):
        with pytest.raises(OSError) as caught, whole_file(path) as temporary:
            temporary.write_text("text")
        assert caught.value.filename == str(path) or caught.value.filename == path
    assert (tmp_path / "file").read_text() == "precious"


def test_images_go_through_links(tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    write_image(tmp_path / "link.png", np.full((4, 4), 7, np.uint8))
    assert (tmp_path / "link.png").is_symlink()
    assert (read_image(tmp_path / "a.png") == 7).all()
