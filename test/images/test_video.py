"""MP4 out and in: what is written comes back, and files never appear half done."""

import logging
import struct
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from places import SHARED

from ivfusion_ros.errors import ImageError
from ivfusion_ros.images.encodings import to_grey
from ivfusion_ros.images.video import VideoReader, VideoWriter

av = pytest.importorskip("av", reason="PyAV is not installed")
CLIP = SHARED / "data" / "m3svd_video" / "rgb" / "0111_1716.mp4"


def make_frames(count: int, height: int = 96, width: int = 128) -> list[np.ndarray]:
    """A bright square moving over colour bars."""
    colours = [
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
        (255, 255, 255),
        (0, 0, 0),
        (128, 128, 128),
        (255, 255, 0),
    ]
    bars = np.array(colours, np.uint8)[np.arange(width) * len(colours) // width]
    frames = []
    for index in range(count):
        frame = np.repeat(bars[None], height, axis=0)
        frame[20:40, 2 * index : 2 * index + 20] = (255, 0, 255)
        frames.append(frame)
    return frames


def write(path: Path, frames: list[np.ndarray], rate_hz: float = 25.0) -> Path:
    with VideoWriter(path, rate_hz) as writer:
        for frame in frames:
            writer.write(frame)
    return path


@pytest.mark.parametrize("rate_hz", [25.0, 29.97, 30000 / 1001, 8.0])
def test_what_is_written_comes_back(tmp_path: Path, rate_hz: float) -> None:
    frames = make_frames(20)
    with VideoReader(write(tmp_path / "a.mp4", frames, rate_hz)) as reader:
        assert reader.frame_count == 20
        assert reader.size == (128, 96)
        assert reader.rate_hz == pytest.approx(rate_hz, rel=1e-4)
        back = list(reader)
    assert len(back) == 20
    np.testing.assert_allclose([stamp for stamp, _ in back], np.arange(20) / rate_hz, atol=1e-3)
    for index, (_, image) in enumerate(back):
        distances = [np.abs(frame.astype(int) - image).mean() for frame in frames]
        assert np.argmin(distances) == index
        assert distances[index] < 12  # edges between colours blur, as half the colour resolution is kept


def test_colours_survive(tmp_path: Path) -> None:
    frames = make_frames(1) * 5
    with VideoReader(write(tmp_path / "a.mp4", frames)) as reader:
        image = list(reader)[2][1]
    for index in range(7):
        column = (2 * index + 1) * 128 // 14
        np.testing.assert_allclose(image[70, column].astype(int), frames[0][70, column], atol=6)


def test_file_is_what_browsers_play(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", make_frames(5))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        frame = next(container.decode(stream))
        assert int(frame.colorspace) == 1  # BT.709, said in the file
    content = path.read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")  # plays before it is loaded


@pytest.mark.parametrize(("height", "width"), [(95, 127), (96, 127), (1, 3), (95, 128)])
def test_odd_sizes_are_made_even(tmp_path: Path, height: int, width: int) -> None:
    frames = [frame[:height, :width] for frame in make_frames(3)]
    with VideoReader(write(tmp_path / "odd.mp4", frames)) as reader:
        images = [image for _, image in reader]
    assert [image.shape for image in images] == [(height + height % 2, width + width % 2, 3)] * 3
    assert np.abs(images[0][:height, :width].astype(int) - frames[0]).mean() < 25


def test_failure_leaves_the_old_file_and_no_partial(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", make_frames(3))
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), VideoWriter(path, 25) as writer:
        writer.write(make_frames(1)[0])
        raise KeyboardInterrupt
    with pytest.raises(ImageError, match=r"was given no image"), VideoWriter(path, 25):
        pass
    with (
        pytest.raises(ImageError, match=r"image is 64x96, expected \(128, 96\)"),
        VideoWriter(path, 25) as writer,
    ):
        writer.write(make_frames(1)[0])
        writer.write(make_frames(1)[0][:, :64])
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.mp4"]


def test_nothing_at_the_name_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with VideoWriter(path, 25) as writer:
        for frame in make_frames(3):
            writer.write(frame)
            assert not path.exists()
    assert path.exists()


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"cannot write video .*No such file or directory"):
        VideoWriter(tmp_path / "nowhere" / "a.mp4", 25)
    for rate_hz in (0.0, -1.0, float("nan")):
        with pytest.raises(ImageError, match="expected more than 0"):
            VideoWriter(tmp_path / "a.mp4", rate_hz)
    assert not list(tmp_path.iterdir())


def test_things_that_are_no_video(tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("this is no video")
    for path in (text, tmp_path, tmp_path / "missing.mp4"):
        with pytest.raises(ImageError, match="cannot read video"):
            VideoReader(path)


def test_truncated_video_gives_what_is_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (96, 128, 3), np.uint8) for _ in range(40)]
    whole = write(tmp_path / "a.mp4", frames).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) // 2])
    count = 0
    with caplog.at_level(logging.WARNING), VideoReader(cut) as reader:
        try:
            for _ in reader:
                count += 1
        except ImageError as error:
            assert f"after {count} frames" in str(error)
        else:
            assert f"{count} of 40 frames" in caplog.text
    assert 0 < count < 40


@pytest.mark.skipif(not CLIP.exists(), reason="no ../shared/data/m3svd_video")
def test_reads_a_camera_clip_like_opencv() -> None:
    capture = cv2.VideoCapture(str(CLIP))
    with VideoReader(CLIP) as reader:
        assert reader.frame_count == 151
        assert reader.rate_hz == 30
        for index, (stamp_s, image) in enumerate(reader):
            _, other = capture.read()
            assert stamp_s == pytest.approx(index / 30, abs=1e-3)
            if index % 10 == 0:
                assert np.abs(image.astype(int) - other[..., ::-1]).mean() < 3
    assert index == 150
    capture.release()


def test_opencv_reads_it(tmp_path: Path) -> None:
    frames = make_frames(7)
    capture = cv2.VideoCapture(str(write(tmp_path / "a.mp4", frames)))
    images = []
    while (read := capture.read())[0]:
        images.append(read[1][..., ::-1])
    capture.release()
    assert len(images) == 7
    assert np.abs(images[3].astype(int) - frames[3]).mean() < 25


def test_without_pyav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    for action in (lambda: VideoWriter(tmp_path / "a.mp4", 25), lambda: VideoReader(tmp_path / "a.mp4")):
        with pytest.raises(ImageError, match="run: pip install av"):
            action()


def film(path: Path, codec: str, pixel_format: str, frames: list[np.ndarray], array_format: str) -> None:
    """A film whose encoder keeps every bit."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixel_format
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format=array_format)))
        container.mux(stream.encode(None))


def test_counts_that_a_usb_camera_sends_as_yuyv(tmp_path: Path) -> None:
    counts = np.random.default_rng(3).integers(0, 65536, (2, 32, 40)).astype("<u2")
    yuyv = [image.view(np.uint8).reshape(32, 40, 2) for image in counts]
    film(tmp_path / "a.nut", "rawvideo", "yuyv422", yuyv, "yuyv422")
    with VideoReader(tmp_path / "a.nut", encoding="mono16") as reader:
        np.testing.assert_array_equal([image for _, image in reader], counts)
    with (
        VideoReader(tmp_path / "a.nut", encoding="rgb8") as reader,
        pytest.raises(ImageError, match="'yuyv', of 2 bytes"),
    ):
        list(reader)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_films_of_counts_keep_them(tmp_path: Path, bits: int) -> None:
    counts = np.random.default_rng(bits).integers(0, 2**bits, (3, 32, 40)).astype(np.uint16)
    film(tmp_path / "a.mkv", "ffv1", f"gray{bits}le", list(counts), f"gray{bits}le")
    with VideoReader(tmp_path / "a.mkv") as reader:
        images = [image for _, image in reader]
    assert images[0].dtype == np.uint16
    np.testing.assert_array_equal(images, counts)


def test_films_of_16_bit_colour_keep_it(tmp_path: Path) -> None:
    rgb = np.random.default_rng(1).integers(0, 65536, (2, 32, 40, 3)).astype(np.uint16)
    film(tmp_path / "a.mkv", "ffv1", "gbrp16le", list(rgb), "rgb48le")
    with VideoReader(tmp_path / "a.mkv") as reader:
        np.testing.assert_array_equal([image for _, image in reader], rgb)


def test_films_of_8_bit_counts_keep_them(tmp_path: Path) -> None:
    grey = np.random.default_rng(2).integers(0, 256, (2, 32, 40)).astype(np.uint8)
    film(tmp_path / "a.mkv", "ffv1", "gray", list(grey), "gray")
    with VideoReader(tmp_path / "a.mkv") as reader:
        np.testing.assert_array_equal([to_grey(image) for _, image in reader], grey)


@pytest.mark.parametrize(
    ("matrix", "quarters"), [((1, 0, 0, 1), 0), ((0, 1, -1, 0), 1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 3)]
)
def test_the_rotation_of_a_film_is_obeyed(tmp_path: Path, matrix: tuple[int, ...], quarters: int) -> None:
    stored = np.zeros((64, 96, 3), np.uint8)
    stored[:32, :48], stored[:32, 48:], stored[32:, :48] = (220, 20, 20), (20, 220, 20), (20, 20, 220)
    content = bytearray(write(tmp_path / "a.mp4", [stored] * 3).read_bytes())
    # ISO 14496-12: the matrix of a track's header, version 0; phones write it, players turn by it.
    place = content.index(b"tkhd") + 44
    a, b, c, d = (value * 65536 for value in matrix)
    content[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    (tmp_path / "turned.mp4").write_bytes(content)
    with VideoReader(tmp_path / "turned.mp4") as reader:
        image = next(iter(reader))[1]
    # (x, y) is shown at (a x + c y, b x + d y): quarters clockwise.
    seen = np.rot90(stored, -quarters)
    assert image.shape == seen.shape
    assert np.abs(image[12::24, 12::24].astype(int) - seen[12::24, 12::24]).max() < 12


def make_avi(path: Path, count: int = 40) -> bytearray:
    """An MJPEG film at 25 Hz whose frame i is grey level 5 i, with noise."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (96, 64))
    random = np.random.default_rng(0)
    for index in range(count):
        noise = random.integers(0, 20, (64, 96, 3))
        writer.write(np.clip(5 * index + noise, 0, 255).astype(np.uint8))
    writer.release()
    return bytearray(path.read_bytes())


def shown(path: Path) -> tuple[list[int], list[int], VideoReader]:
    """Frame numbers by stamp and by grey level, and the reader, of a film of make_avi."""
    with VideoReader(path) as reader:
        frames = [(round(stamp * 25), round((image.mean() - 9.5) / 5)) for stamp, image in reader]
    return [number for number, _ in frames], [level for _, level in frames], reader


@pytest.mark.parametrize("filler", [b"\0", b"Z"])
@pytest.mark.parametrize("share", [(0.45, 0.5), (0.25, 0.75)])
def test_frames_behind_a_hole_of_an_avi_keep_their_times(tmp_path: Path, filler: bytes, share) -> None:
    path = tmp_path / "a.avi"
    content = make_avi(path)
    first, last = (int(len(content) * part) for part in share)
    content[first:last] = filler * (last - first)
    path.write_bytes(content)
    by_time, by_grey, reader = shown(path)
    assert by_time == by_grey
    assert by_time[0] == 0 and by_time[-1] == 39
    assert reader.lost == 40 - len(by_time) > 0
    assert f"{len(by_time)} of 40 frames could be read" in reader.losses[-1]


def test_an_avi_without_index_counts_a_hole_by_its_length_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    content = make_avi(path)
    content = content[: content.rindex(b"idx1")]
    first, last = len(content) // 3, len(content) // 2
    content[first:last] = bytes(last - first)
    path.write_bytes(content)
    by_time, by_grey, reader = shown(path)
    assert by_time == by_grey
    assert "its index is lost" in "".join(reader.losses)


def test_bits_that_are_lost_are_told_once(tmp_path: Path, caplog, monkeypatch) -> None:
    monkeypatch.setattr("ivfusion_ros.images.video._told", set())
    path = tmp_path / "deep.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64), np.uint16), format="gray16le")
            container.mux(stream.encode(frame.reformat(format="yuv420p10le")))
        container.mux(stream.encode(None))
    with VideoReader(path) as reader:
        assert len(list(reader)) == 3
    assert caplog.text.count("10 bits a pixel in yuv420p10le, of which 8 are read") == 1


def test_counts_in_a_raw_avi_are_told_and_read(tmp_path: Path, caplog, monkeypatch) -> None:
    monkeypatch.setattr("ivfusion_ros.images.video._told", set())
    path, counts = tmp_path / "y16.avi", np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 20
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray16le"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(counts, format="gray16le")))
    with VideoReader(path) as reader:
        list(reader)
    assert "thermal.encoding mono16" in caplog.text
    with VideoReader(path, encoding="mono16") as reader:
        ((_, image),) = reader
    np.testing.assert_array_equal(image, counts)


def film_of_sizes(path: Path, sizes: list[tuple[int, int]]) -> Path:
    """PNGs in a film, of which each says its own size."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=10)
        stream.width, stream.height, stream.pix_fmt = *sizes[0], "gray"
        for index, size in enumerate(sizes):
            packet = av.Packet(cv2.imencode(".png", np.zeros(size[::-1], np.uint8))[1].tobytes())
            packet.pts = packet.dts = 100 * index
            packet.time_base, packet.stream = Fraction(1, 1000), stream
            container.mux(packet)
    return path


def test_a_frame_that_is_too_large_costs_itself(tmp_path: Path) -> None:
    film = film_of_sizes(tmp_path / "a.mov", [(64, 48), (64, 48), (300, 200), (64, 48)])
    with VideoReader(film, max_pixels=64 * 48) as reader:
        assert [image.shape[:2] for _, image in reader] == [(48, 64)] * 3
        assert reader.lost == 1
        assert "after 2 frames, and maybe further on: a frame has 300x200 pixels" in reader.losses[0]
