"""Films, folders, data sets and bags: the same frames whichever way they come."""

import json
import logging
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from ivfusion_ros.bags import BagReader, BagWriter
from ivfusion_ros.bags.messages import to_frame
from ivfusion_ros.cli import main
from ivfusion_ros.errors import BagError, ConfigError, DataError
from ivfusion_ros.images.files import write_image
from ivfusion_ros.sources import KINDS, SourceOptions, open_source
from ivfusion_ros.types import Frame

S = 1_000_000_000
T0_NS = 1_700_000_000 * S


def grey(level: int) -> np.ndarray:
    return np.full((8, 12), level, np.uint8)


def write_images(folder: Path, stems: list[str]) -> Path:
    folder.mkdir()
    for index, stem in enumerate(stems):
        write_image(folder / f"{stem}.png", grey(20 * index))
    return folder


def read(*paths: Path, **options) -> list[tuple[str, int, int]]:
    """Camera, stamp and level of each frame."""
    with closing(open_source(paths, SourceOptions(**options))) as source:
        return [(camera, frame.stamp_ns, int(frame.image.max())) for camera, frame in source.frames()]


def write_film(path: Path, levels: list[int], start_s: float = 0.0, rate_hz: int = 10) -> Path:
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate_hz)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "bgr0"
        for index, level in enumerate(levels):
            pixels = np.full((32, 32, 3), level, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="bgr0")
            frame.pts = index + round(start_s * rate_hz)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("frames", "warned"), [(20, True), (11, False)])
def test_films_of_different_length_are_told(tmp_path: Path, caplog, frames, warned) -> None:
    films = write_film(tmp_path / "t.avi", [50] * 10), write_film(tmp_path / "r.avi", [60] * frames)
    read(*films)
    assert ("thermal lasts 1.0 s and RGB 2.0 s" in caplog.text) == warned


def test_folders_in_natural_order_at_a_constant_rate(tmp_path: Path) -> None:
    stems = [f"frame_{number}" for number in range(12)]
    thermal, rgb = write_images(tmp_path / "t", stems), write_images(tmp_path / "r", stems)
    for camera in ("thermal", "rgb"):
        frames = [item for item in read(thermal, rgb, rate_hz=10) if item[0] == camera]
        assert frames == [(camera, S + index * S // 10, 20 * index) for index in range(12)]


def test_a_missing_image_costs_its_pair_alone_where_names_agree(tmp_path: Path, caplog) -> None:
    thermal = write_images(tmp_path / "t", ["f0", "f1", "f2", "f3"])
    rgb = write_images(tmp_path / "r", ["f0", "f2", "f3", "f4"])
    frames = read(thermal, rgb, rate_hz=10)
    moments = {
        camera: [(stamp - S) * 10 // S for name, stamp, _ in frames if name == camera]
        for camera in ("thermal", "rgb")
    }
    assert moments == {"thermal": [0, 1, 2, 3], "rgb": [0, 2, 3, 4]}
    assert [level for camera, _, level in frames if camera == "rgb"] == [0, 20, 40, 60]
    assert not caplog.text


@pytest.mark.parametrize("missing", [True, False])
def test_folders_of_unequal_counts_and_other_names_are_told_of(tmp_path: Path, caplog, missing) -> None:
    thermal = write_images(tmp_path / "t", ["t0", "t1", "t2", "t3"])
    rgb = write_images(tmp_path / "r", ["r0", "r2", "r3"] if missing else ["r0", "r1", "r2", "r3"])
    assert len(read(thermal, rgb, rate_hz=10)) == 8 - missing
    said = f"{thermal} has 4 images and {rgb} 3, of which 0 have a name of the other's"
    assert (said in caplog.text) == missing


@pytest.mark.parametrize("swapped", [True, False])
def test_swapped_folders_are_told_of_once(tmp_path: Path, caplog, swapped) -> None:
    colours = np.zeros((8, 12, 3), np.uint8)
    colours[..., 0] = 200
    for name, image in (("grey", grey(90)), ("coloured", colours)):
        (tmp_path / name).mkdir()
        for index in range(3):
            write_image(tmp_path / name / f"{index}.png", image)
    order = ("coloured", "grey") if swapped else ("grey", "coloured")
    assert len(read(*(tmp_path / name for name in order), rate_hz=10.0)) == 6
    assert caplog.text.count("are the inputs swapped?") == swapped


def test_folders_with_their_own_times_and_rates(tmp_path: Path, caplog) -> None:
    thermal = write_images(tmp_path / "t", [str(T0_NS + index * S // 10) for index in range(4)])
    rgb = write_images(tmp_path / "r", [str(T0_NS + index * S // 30) for index in range(10)])
    frames = read(thermal, rgb)
    assert [stamp for _, stamp, _ in frames] == sorted(stamp for _, stamp, _ in frames)
    for camera, period_ns, count in (("thermal", S // 10, 4), ("rgb", S / 30, 10)):
        expected = [(camera, T0_NS + int(index * period_ns), 20 * index) for index in range(count)]
        assert [item for item in frames if item[0] == camera] == expected
    with closing(open_source([thermal, rgb])) as source:
        assert source.expected == 4 and source.rate_hz == pytest.approx(10)
    with caplog.at_level(logging.WARNING):
        overridden = read(thermal, rgb, rate_hz=10)
    assert overridden[0][1] == S and "which --rate overrides" in caplog.text


def test_a_film_that_starts_late_keeps_its_time(tmp_path: Path) -> None:
    thermal = write_film(tmp_path / "t.mkv", [10, 20, 30], start_s=0.5)
    rgb = write_film(tmp_path / "r.mkv", [40, 50, 60, 70, 80, 90])
    frames = read(thermal, rgb)
    first = {camera: stamp for camera, stamp, _ in reversed(frames)}
    assert first["thermal"] - first["rgb"] == S // 2
    assert [level for camera, _, level in frames if camera == "thermal"] == [10, 20, 30]


def test_a_film_with_a_file_of_stamps_beside_a_folder_without(tmp_path: Path, caplog) -> None:
    thermal = write_film(tmp_path / "t.mkv", [10, 20, 30])
    (tmp_path / "t.csv").write_text("time_ms\n1700000000000\n1700000000110\n")
    rgb = write_images(tmp_path / "r", ["a", "b", "c"])
    skipped: list[str] = []
    with caplog.at_level(logging.WARNING):
        frames = read(
            thermal,
            rgb,
            rate_hz=10,
            thermal_stamps=tmp_path / "t.csv",
            on_skip=lambda name, _: skipped.append(name),
        )
    assert [stamp - T0_NS for camera, stamp, _ in frames if camera == "thermal"] == [0, 110_000_000]
    assert [stamp - T0_NS for camera, stamp, _ in frames if camera == "rgb"] == [0, S // 10, S // 5]
    assert "begin at one moment" in caplog.text and "--rgb-stamps" in caplog.text
    assert len(skipped) == 1 and "frame 2 of" in skipped[0]


def test_a_data_set_is_a_source(tmp_path: Path) -> None:
    for camera in ("infrared", "visible"):
        (tmp_path / camera).mkdir()
        write_images(tmp_path / camera / "train", ["1", "2", "10"])
    frames = read(tmp_path, rate_hz=5)
    assert frames == [
        (camera, S + index * S // 5, 20 * index) for index in range(3) for camera in ("thermal", "rgb")
    ]
    with pytest.raises(DataError, match=r"3 pairs of .* have no times; give --rate HZ"):
        read(tmp_path)


def test_bags_are_a_source_and_record_copies_them(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "a.mcap") as writer:
        for index in range(3):
            writer.write_frame("rgb", Frame(np.full((8, 12, 3), index, np.uint8), T0_NS + index, "rgb"))
            writer.write_frame("thermal", Frame(grey(index).astype(np.uint16), T0_NS + index, "thermal"))
    assert read(tmp_path / "a.mcap") == [
        (camera, T0_NS + index, index) for index in range(3) for camera in ("rgb", "thermal")
    ]
    assert main(["record", str(tmp_path / "a.mcap"), str(tmp_path / "b.mcap")]) == 0
    assert read(tmp_path / "b.mcap") == read(tmp_path / "a.mcap")
    assert main(["record", str(tmp_path / "a.mcap"), str(tmp_path / "a.mcap"), "--force"]) == 7


def fused(path: Path) -> list[tuple[int, bytes]]:
    with BagReader(path) as reader:
        found = [to_frame(data, topic.type) for topic, _, data in reader.messages(["/fused/image_raw"])]
    return [(frame.stamp_ns, frame.image.tobytes()) for frame in found]


def test_replay_of_folders_is_replay_of_their_recording(tmp_path: Path, blend_model) -> None:
    stems = [str(T0_NS + index * S // 10) for index in range(4)]
    folders = [str(write_images(tmp_path / name, stems)) for name in ("t", "r")]
    bag = str(tmp_path / "bag.mcap")
    assert main(["record", *folders, bag]) == 0
    words = ["--model", str(blend_model), "--detector", "", "--backend", "onnxruntime"]
    results = []
    for name, source in (("a", folders), ("b", [bag])):
        assert main(["replay", *source, str(tmp_path / f"{name}.mcap"), *words]) == 0
        results.append(fused(tmp_path / f"{name}.mcap"))
    assert len(results[0]) == 4 and results[0] == results[1]
    for extra in (["--originals"], ["--set", "registration.extrinsics=tf"], ["--depth-topic", "/depth"]):
        assert main(["replay", *folders, str(tmp_path / "c.mcap"), *words, *extra]) == 2
    assert not (tmp_path / "c.mcap").exists()


def test_fuse_and_detect_take_what_comes_in_time(tmp_path: Path, blend_model, box_model, capsys) -> None:
    films = [str(write_film(tmp_path / f"{name}.mkv", [10, 20, 30])) for name in ("t", "r")]
    words = ["--model", str(blend_model), "--backend", "onnxruntime"]
    assert main(["fuse", *films, str(tmp_path / "fused"), *words]) == 0
    names = [f"{S + index * S // 10}.png" for index in range(3)]
    assert sorted(path.name for path in (tmp_path / "fused").iterdir()) == names
    assert main(["fuse", *films, str(tmp_path / "fused"), *words]) == 7
    words = ["--detector", str(box_model), "--backend", "onnxruntime"]
    assert main(["detect", films[1], str(tmp_path / "found"), *words]) == 0
    rows = json.loads((tmp_path / "found" / "detections.json").read_text())
    assert list(rows) == [f"r_{index:06d}.png" for index in range(3)]
    assert (tmp_path / "found" / "r_000002.png").is_file()


def test_fuse_takes_a_data_set(tmp_path: Path, blend_model) -> None:
    for folder in ("Ir", "Vis"):
        write_images(tmp_path / folder, ["00001", "00002"])
    words = ["--model", str(blend_model), "--backend", "onnxruntime"]
    assert main(["fuse", str(tmp_path), str(tmp_path / "out"), *words]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["00001.png", "00002.png"]


def test_what_is_no_source_says_what_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(DataError, match=r"notes.txt was given, expected bags .*data set"):
        open_source([tmp_path / "notes.txt"])
    with pytest.raises(BagError, match="does not exist"):
        open_source([tmp_path / "absent.mcap"])
    with pytest.raises(DataError, match="no folder"):
        open_source([tmp_path / "absent"])
    with pytest.raises(ConfigError, match="expected a frame rate"):
        open_source([write_images(tmp_path / "t", ["a"])] * 2, SourceOptions(rate_hz=0))
    assert list(KINDS) == ["bags", "two cameras", "data set"]
