"""Outputs are there whole or not at all, and nothing but a regular file is ever replaced."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import ivfusion_ros.files
from ivfusion_ros.cli import main
from ivfusion_ros.errors import DataError
from ivfusion_ros.files import alone_in, make_folder, scratch_folder, whole_file, whole_files
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


@pytest.mark.parametrize("writer", [whole_file, whole_files])
def test_errors_name_the_file_that_was_asked_for(tmp_path: Path, writer) -> None:
    (tmp_path / "file").write_text("precious")
    for path in (tmp_path / "nowhere" / "a.json", tmp_path / "file" / "a.json", tmp_path):
        with pytest.raises(OSError) as caught, writer(path) as temporary:
            temporary.write_text("text")
        assert caught.value.filename == str(path) or caught.value.filename == path
    assert (tmp_path / "file").read_text() == "precious"


def test_a_folder_and_what_a_file_names_come_together(tmp_path: Path) -> None:
    for content in ("old", "new"):
        with whole_files(tmp_path / "a.yaml") as staged:
            staged.write_text(content)
            staged.with_suffix(".npz").write_text(content)
            folder = staged.with_name("folder")
            folder.mkdir()
            (folder / content).write_text(content)
    files = {
        str(item.relative_to(tmp_path)): item.read_text() for item in tmp_path.rglob("*") if item.is_file()
    }
    assert files == {"a.yaml": "new", "a.npz": "new", "folder/new": "new"}
    with pytest.raises(KeyboardInterrupt), whole_files(tmp_path / "folder") as staged:
        staged.mkdir()
        raise KeyboardInterrupt
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.npz", "a.yaml", "folder"]
    assert (tmp_path / "folder" / "new").exists()


_WRITE = """
import sys, threading
from pathlib import Path
from ivfusion_ros.files import whole_files, write_whole

file, folder = Path(sys.argv[1]), Path(sys.argv[2])

def write(index):
    for turn in range(10):
        text = f"{sys.argv[3]}.{index}.{turn} " * 20_000
        write_whole(file, text)
        with whole_files(folder) as staged:
            staged.mkdir()
            for part in ("a", "b"):
                (staged / part).write_text(text)

threads = [threading.Thread(target=write, args=(index,)) for index in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def is_whole(text: str) -> bool:
    words = text.split(" ")
    return len(words) == 20_001 and len(set(words[:-1])) == 1


def test_many_writers_of_one_name_leave_one_whole_version(tmp_path: Path) -> None:
    file, folder = tmp_path / "file", tmp_path / "folder"
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITE, file, folder, str(number)]) for number in range(4)
    ]
    while any(writer.poll() is None for writer in writers):
        if file.exists():
            assert is_whole(file.read_text())
    assert [writer.returncode for writer in writers] == [0] * 4
    assert is_whole(file.read_text()) and is_whole((folder / "a").read_text())
    assert (folder / "a").read_text() == (folder / "b").read_text()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]


_DIE = """
import os, signal, sys
from pathlib import Path
from ivfusion_ros.files import whole_files

with whole_files(Path(sys.argv[1])) as staged:
    staged.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_goes_but_nothing_of_a_living_one(tmp_path: Path) -> None:
    path = tmp_path / "a[1].yaml"
    with whole_files(path) as living:
        living.write_text("living")
        subprocess.run([sys.executable, "-c", _DIE, path])
        assert len(list(tmp_path.iterdir())) == 2
        with whole_files(path) as staged:
            staged.write_text("quicker")
        assert path.read_text() == "quicker" and len(list(tmp_path.iterdir())) == 2
    assert path.read_text() == "living" and list(tmp_path.iterdir()) == [path]


_DIE_IN_ALL = """
import os, signal, sys
from pathlib import Path
import numpy as np
from ivfusion_ros.files import scratch_folder, whole_file
from ivfusion_ros.images.video import VideoWriter

folder = Path(sys.argv[1])
with whole_file(folder / "a.json") as staged, scratch_folder("ivfusion_bag") as scratch:
    staged.write_text("half")
    (scratch / "unpacked.db3").write_text("half")
    with VideoWriter(folder / "a.mp4", 10) as film:
        film.write(np.zeros((32, 32, 3), np.uint8))
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_nothing_for_good(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("av")
    out, temporary = tmp_path / "out", tmp_path / "temporary"
    out.mkdir()
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    subprocess.run([sys.executable, "-c", _DIE_IN_ALL, out])
    assert len(list(out.iterdir())) == 2 and len(list(temporary.iterdir())) == 1
    (out / ".mine.partial").write_text("of no process of ours")
    with whole_file(out / "b.json") as living:
        living.write_text("living")
        with alone_in(out):
            assert {path.name for path in out.iterdir()} == {".mine.partial", living.name}
    with scratch_folder("ivfusion_bag") as scratch:
        assert list(temporary.iterdir()) == [scratch]
    assert not list(temporary.iterdir())


def test_images_go_through_links(tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    write_image(tmp_path / "link.png", np.full((4, 4), 7, np.uint8))
    assert (tmp_path / "link.png").is_symlink()
    assert (read_image(tmp_path / "a.png") == 7).all()


@pytest.mark.parametrize("writer", [whole_file, whole_files])
def test_a_pipe_that_nobody_reads_is_an_error(tmp_path: Path, monkeypatch, writer) -> None:
    monkeypatch.setattr(ivfusion_ros.files, "PIPE_WAIT_S", 0.0)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="pipe"), writer(pipe):
        pytest.fail("it would wait without an end")


def test_a_folder_is_held_by_one_process(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "out"
    hold = (
        "import sys; from pathlib import Path; from ivfusion_ros.files import alone_in\n"
        "with alone_in(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", hold, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None and other.stdout.readline() == b"held\n"
    with pytest.raises(DataError, match="another command is writing into"), alone_in(folder):
        pytest.fail("both would write")
    other.kill()
    other.communicate()
    with alone_in(folder):
        (folder / "mine").write_text("kept")
    assert (folder / "mine").exists()
    with alone_in(tmp_path / "other" / "out"):
        pass
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    "words",
    [
        "fuse thermal rgb OUT",
        "detect rgb OUT",
        "eval --data . --model mst --out OUT",
        "eval-detection --data . --detector yolov5n --out OUT",
        "train refinefuse --data . --out OUT",
        "dataset --data . --images rgb --out OUT",
        "demo --out OUT",
    ],
)
def test_a_second_command_into_one_folder_is_refused(tmp_path: Path, monkeypatch, capsys, words) -> None:
    monkeypatch.chdir(tmp_path)
    for camera in ("thermal", "rgb"):
        (tmp_path / camera).mkdir()
        write_image(tmp_path / camera / "a.png", np.zeros((48, 64), np.uint8))
    with alone_in(tmp_path / "OUT"):
        assert main(words.split()) == 7
    assert "another command is writing into OUT" in capsys.readouterr().err
    assert not (tmp_path / "OUT").exists()


@pytest.mark.parametrize("writer", [whole_file, whole_files])
@pytest.mark.parametrize("length", [99, 100, 101, 230, 255])
def test_every_name_that_the_file_system_takes_is_written(tmp_path: Path, writer, length) -> None:
    for name in ("a" * length, "\N{GREEK SMALL LETTER ALPHA}" * (length // 2)):
        with writer(tmp_path / name) as staged:
            staged.write_text("content")
            other = tmp_path / (name[:-1] + "b")
            with writer(other) as second:
                second.write_text("other")
        assert (tmp_path / name).read_text() == "content" and other.read_text() == "other"
    with pytest.raises(OSError, match="name too long"), writer(tmp_path / ("a" * 256)) as staged:
        staged.write_text("content")


def test_what_a_killed_process_left_of_a_long_name_goes_too(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 240)
    subprocess.run([sys.executable, "-c", _DIE, path])
    assert len(list(tmp_path.iterdir())) == 1
    with whole_files(path) as staged:
        staged.write_text("whole")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("writer", [whole_file, whole_files])
def test_no_name_of_a_file_is_an_error_that_names_it(tmp_path: Path, writer) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    (tmp_path / "film.mp4").write_text("precious")
    for name, reason in (
        ("loop", "Too many levels of symbolic links"),
        ("a\0b", "not a file's name"),
        ("film.mp4/a", f"{tmp_path / 'film.mp4'} is a file, expected a folder"),
        ("film.mp4/a/b", f"{tmp_path / 'film.mp4'} is a file, expected a folder"),
    ):
        with pytest.raises(OSError) as caught, writer(tmp_path / name) as staged:
            staged.write_text("text")
        assert caught.value.filename == str(tmp_path / name) and caught.value.strerror.startswith(reason)
    assert loop.is_symlink() and (tmp_path / "film.mp4").read_text() == "precious"


def test_folders_are_made_but_not_in_the_place_of_files(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name, reason in (
        ("file", "file is a file, expected a folder"),
        ("file/a/b", "file is a file, expected a folder"),
        ("link", "a link that leads nowhere is in its place"),
    ):
        with pytest.raises(OSError) as caught:
            make_folder(tmp_path / name)
        assert caught.value.filename == str(tmp_path / name) and reason in caught.value.strerror


@pytest.mark.parametrize("links", [True, False])
def test_what_another_wrote_meanwhile_is_not_replaced_unasked(tmp_path: Path, monkeypatch, links) -> None:
    if not links:
        monkeypatch.setattr(
            os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no links here"))
        )
    path = tmp_path / "a.png"
    taken = pytest.raises(FileExistsError, match="another process wrote it meanwhile")
    with taken, whole_file(path, replace=False) as mine:
        mine.write_text("mine")
        with whole_file(path, replace=False) as others:
            others.write_text("others'")
    assert path.read_text() == "others'" and list(tmp_path.iterdir()) == [path]
