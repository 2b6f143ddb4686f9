"""What is read ends, whatever is in it: no pipe, no device, no text that grows without bounds."""

import os

import cv2
import numpy as np
import pytest
import yaml

from ivfusion_ros.cli import main
from ivfusion_ros.config.parameters import assignments, make_config
from ivfusion_ros.config.pipeline import PipelineConfig
from ivfusion_ros.errors import ConfigError, ImageError
from ivfusion_ros.files import brief, parse_yaml, read_bytes, read_yaml
from ivfusion_ros.images.files import read_image
from ivfusion_ros.images.video import VideoReader, VideoWriter


@pytest.fixture(params=["fifo", "/dev/zero", "folder"])
def endless(request, tmp_path):
    """A name that is no regular file; reading the first two would never end."""
    path = tmp_path / "thing.yaml"
    if request.param == "fifo":
        os.mkfifo(path)
    elif request.param == "folder":
        path.mkdir()
    else:
        path.symlink_to(request.param)
    return path


def test_only_regular_files_are_read(endless) -> None:
    with pytest.raises(OSError, match="not a regular file"):
        read_bytes(endless, 1000)
    with pytest.raises(ConfigError, match="not a regular file"):
        read_yaml(endless)
    with pytest.raises(ImageError, match="not a regular file"):
        read_image(endless)
    with pytest.raises(ImageError, match="not a file"):
        VideoReader(endless)


def test_no_more_than_asked_for(tmp_path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(OSError, match="5 bytes, expected at most 4"):
        read_bytes(path, 4)
    with pytest.raises(OSError, match="not a file's name"):
        read_bytes("a\0b", 4)


@pytest.mark.parametrize("name", ["tcp://127.0.0.1:9", "tcp:", "http://a/b.mp4", "concat:a|b", "pipe:0"])
def test_a_film_is_a_file(name) -> None:
    with pytest.raises(ImageError, match="cannot read video"):
        VideoReader(name)


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\nfilm.mp4\n",  # no end: FFmpeg reads it for ever
        "ffconcat version 1.0\nfile film.mp4\n",
        "v=0\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    ],
)
def test_a_list_of_films_is_no_film(tmp_path, text) -> None:
    with VideoWriter(tmp_path / "film.mp4", 10) as film:
        film.write(np.zeros((32, 32, 3), np.uint8))
    (tmp_path / "list.mp4").write_text(text)
    with pytest.raises(ImageError, match="expected a film such as"):
        VideoReader(tmp_path / "list.mp4")
    reader = VideoReader(tmp_path / "film.mp4")
    assert len(list(reader)) == 1
    reader.close()


NEXT = list(zip("abcdefgh", "bcdefghi", strict=True))
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join(['*' + old] * 10)}]\n" for old, new in NEXT
)
MERGED = "a: &a {p: 1, q: 2}\n" + "".join(
    f"{new}: &{new} {{<<: [{', '.join(['*' + old] * 10)}], {new}: 1}}\n" for old, new in NEXT
)


@pytest.mark.parametrize(
    "text",
    [
        "2001-99-99", "0b_", "0x_", "!!float abc", "!!int abc", "!!bool x", "!!timestamp x", "[" * 20000,
        "9" * 5000, "&a {b: *a}", "&a [*a]", BOMB, "? {a: 1}\n: b", "'\0'", "\x01",
        "!!python/object/apply:os.system [true]", "&", "*a",
    ],
    ids=range(18),
)  # fmt: skip
def test_a_yaml_text_is_a_value_or_our_error(text) -> None:
    with pytest.raises(ConfigError, match=r"^here is not valid YAML"):
        parse_yaml(text, "here")


@pytest.mark.parametrize(
    "text", ["pairing: {a: 1}\nfusion: {}\npairing: {b: 2}", "{x: 1, 'x': 2}", "- {1: a, 1: b}"]
)
def test_a_key_that_stands_there_twice_is_an_error(text) -> None:
    with pytest.raises(ConfigError, match=r"stands there twice, in lines 1 and [13]$"):
        parse_yaml(text, "here")


def test_merged_keys_may_be_taken_over() -> None:
    text = "b: &b {x: 1, y: 2}\nc: {<<: *b, x: 3}\nd: {<<: [*b, {x: 7, z: 8}], y: 4}"
    assert parse_yaml(text, "here") == {
        "b": {"x": 1, "y": 2},
        "c": {"x": 3, "y": 2},
        "d": {"x": 1, "y": 4, "z": 8},
    }


def test_numbers_are_what_they_look_like() -> None:
    text = "[010, 1:30, 1:30.5, -07, 0x1F, 0b11, 1_000, 0, -5, .5, 00.5, 1.0e+3, 1e3]"
    expected = ["010", "1:30", "1:30.5", "-07", 31, 3, 1000, 0, -5, 0.5, 0.5, 1000.0, "1e3"]
    assert parse_yaml(text, "here") == expected
    for setting in ("pairing.max_skew_ms=1:30", "pairing.queue_size=010"):
        with pytest.raises(ConfigError, match=r"010|1:30"):
            make_config(PipelineConfig, assignments([setting], "--set"))


def test_merged_mappings_end() -> None:
    """Newer PyYAML takes each key once; with older ones the entries would be 2 * 10^8."""
    try:
        assert len(parse_yaml(MERGED, "here")["i"]) < 20
    except ConfigError as error:
        assert "entries" in str(error)


@pytest.mark.parametrize(
    "setting",
    [
        "pairing.max_skew_ms=" + "9" * 400, "pairing.queue_size=0x" + "f" * 5000,
        'registration.calibration="a\\0b"', "pairing.max_skew_ms=2001-99-99", "pairing.queue_size=0b_",
        "fusion.model=[[a]]", "pairing.queue_size={a: 1}", "pairing.max_skew_ms=.nan",
    ],
    ids=range(8),
)  # fmt: skip
def test_settings_are_values_or_our_error(setting) -> None:
    with pytest.raises(ConfigError) as error:
        make_config(PipelineConfig, assignments([setting], "--set"))
    assert len(str(error.value)) < 2000


def test_a_number_that_python_does_not_write_is_still_named() -> None:
    assert brief(16**5000) == "a int too long to show" or "..." in brief(16**5000)
    assert len(brief("x" * 10000)) < 100
    assert brief(3.5) == "3.5"


def test_a_home_that_there_is_not(tmp_path, capsys) -> None:
    image = str(tmp_path / "image.png")
    cv2.imwrite(image, np.arange(64 * 96, dtype=np.uint16).reshape(64, 96).astype(np.uint8))
    output = str(tmp_path / "fused.png")
    assert main(["fuse", image, image, output, "--model", "~nobody_of_this_name/m.onnx"]) in (5, 7)
    assert "Traceback" not in capsys.readouterr().err


def test_a_yaml_of_very_many_lines_is_not_parsed(tmp_path, monkeypatch) -> None:
    path = tmp_path / "many.yaml"
    path.write_text("fusion:\n" + "".join(f"  k{number}: 1\n" for number in range(60_000)))
    monkeypatch.setattr(yaml, "load", lambda *_: pytest.fail("it takes seconds"))
    with pytest.raises(ConfigError, match="more than 100000 entries"):
        read_yaml(path)
