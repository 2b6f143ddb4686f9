"""What is fuzzed: how small whole inputs of a kind are made, damaged, and used as a command uses them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
from fuzz_damage import WORDS, damage_bytes, damage_text

sys.path[:0] = [str(Path(__file__).parents[1])]

from bag_samples import IMAGE, INFO, STORE, camera_info, cdr, header, two_cameras, write_mcap
from calibration_samples import TILTED, bulge, rig_parts

from ivfusion_ros.backends import load_backend
from ivfusion_ros.backends.tensorrt.cache import read_record
from ivfusion_ros.bags.mcap_file import read_qos
from ivfusion_ros.config.node import FusionNodeConfig
from ivfusion_ros.config.parameters import assignments, load_config
from ivfusion_ros.config.pipeline import DetectionConfig, PipelineConfig
from ivfusion_ros.detection import Detector
from ivfusion_ros.detection.class_names import names_from_yaml
from ivfusion_ros.geometry.calibration import Calibration, read_calibration, write_calibration
from ivfusion_ros.geometry.warp import Warp
from ivfusion_ros.images.files import decode_compressed, encode_compressed, read_image, write_image
from ivfusion_ros.images.labels import read_boxes
from ivfusion_ros.images.names import SUFFIXES
from ivfusion_ros.images.video import VideoReader, VideoWriter
from ivfusion_ros.pipeline.fuser import Fuser
from ivfusion_ros.sources import SourceOptions, open_source
from ivfusion_ros.sources.stamps import read_stamp_list

MAX_PIXELS = 4_000_000
_FRAMES = 60

Damage = Callable[[Random, Path, Path], Path]


@dataclass(frozen=True)
class Kind:
    """seeds: whole inputs, made in a folder. damage: one -> a damaged one in a folder. use: reads it."""

    seeds: Callable[[Path], list[Path]]
    damage: Damage
    use: Callable[[Path], object]


def by(change: Callable[[Random, bytes], bytes]) -> Damage:
    """Damage to the content of a file; what lies beside it in a folder of its name comes along."""

    def damage(random: Random, sample: Path, folder: Path) -> Path:
        path = folder / f"damaged{''.join(sample.suffixes)}"
        path.unlink(missing_ok=True)
        path.write_bytes(change(random, sample.read_bytes()))
        return path

    return damage


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# Bags


def bags(folder: Path) -> list[Path]:
    from bag_samples import write_rosbag2
    from mcap.writer import CompressionType
    from rosbags.rosbag2 import CompressionFormat as Format
    from rosbags.rosbag2 import CompressionMode as Mode
    from rosbags.rosbag2 import StoragePlugin

    pairs = list(two_cameras(4))
    packed = {"mode": Mode.FILE, "fmt": Format.ZSTD}
    single = {"mode": Mode.MESSAGE, "fmt": Format.ZSTD}
    return [
        write_mcap(folder / "plain.mcap", pairs, compression=CompressionType.NONE, chunk_size=500),
        write_mcap(folder / "lz4.mcap", pairs, compression=CompressionType.LZ4, chunk_size=500),
        write_mcap(folder / "zstd.mcap", pairs, compression=CompressionType.ZSTD, enable_crcs=False),
        write_mcap(folder / "bare.mcap", pairs, use_chunking=False),
        write_rosbag2(folder / "db3", pairs, StoragePlugin.SQLITE3) / "db3.db3",
        write_rosbag2(folder / "packed", pairs, **packed) / "packed.mcap.zstd",
        write_rosbag2(folder / "single", pairs, StoragePlugin.SQLITE3, **single) / "single.db3",
    ]


def use_source(*paths: Path) -> None:
    source = open_source(list(paths), SourceOptions(max_pixels=MAX_PIXELS))
    try:
        assert source.rate_hz is None or source.rate_hz > 0
        for _ in islice(source.frames(), _FRAMES):
            pass
        assert all(map(str, source.losses))
    finally:
        source.close()


STATEMENTS = (
    "DROP TABLE {table}",
    "ALTER TABLE {table} RENAME TO other",
    "DELETE FROM {table}",
    "UPDATE {table} SET {column} = {value}",
    "ALTER TABLE {table} DROP COLUMN {column}",
    "ALTER TABLE {table} RENAME COLUMN {column} TO other",
    "DROP TABLE {table}; CREATE TABLE {table} (id)",
    "ALTER TABLE {table} RENAME TO other; CREATE VIEW {table} AS "
    "WITH RECURSIVE x(id, topic_id, timestamp, data, name, type) AS (SELECT 1, 1, 1, x'00', 'a', 'b' "
    "UNION ALL SELECT id + 1, 1, 1, x'00', 'a', 'b' FROM x) "
    "SELECT * FROM x",
    "INSERT INTO {table} SELECT * FROM {table}",
    "ALTER TABLE {table} RENAME TO other; CREATE VIEW {table} AS SELECT * FROM {table}",
)
COLUMNS = {
    "topics": (
        "id",
        "name",
        "type",
        "serialization_format",
        "offered_qos_profiles",
        "type_description_hash",
    ),
    "messages": ("id", "topic_id", "timestamp", "data"),
    "message_definitions": ("id", "topic_type", "encoding", "encoded_message_definition"),
}
VALUES = (
    "NULL",
    "-1",
    "9e99",
    "9223372036854775807",
    "'x'",
    "x'00'",
    "zeroblob(10)",
    "'&a [*a]'",
    "char(55296)",
)


def damage_tables(random: Random, sample: Path, folder: Path) -> Path:
    """SQL that changes a database's tables, so that it is whole and holds something else."""
    import apsw

    path = folder / "tables.db3"
    shutil.copy(sample, path)
    database = apsw.Connection(str(path))
    for _ in range(random.choice((1, 1, 2))):
        table = random.choice(list(COLUMNS))
        parts = {"table": table, "column": random.choice(COLUMNS[table]), "value": random.choice(VALUES)}
        try:
            database.execute(random.choice(STATEMENTS).format(**parts)).fetchall()
        except apsw.Error:
            continue
    database.close()
    return path


# Messages: whole bags in which one message is odd


ODD_NUMBERS = (0, 1, 2, 3, 255, 2**16, 2**31 - 1, 2**32 - 1)
ODD_FLOATS = (0.0, -1.0, float("nan"), float("inf"), 1e-300, 1e300, 1e3)
ODD_TEXTS = (
    "",
    "mono8",
    "rgb8",
    "bgra8",
    "yuv422",
    "bayer_rggb8",
    "16UC1",
    "32FC1",
    "8UC4",
    "\0",
    "mono16\0",
    *WORDS[:20],
)
ENCODINGS = (
    "mono8",
    "mono16",
    "16UC1",
    "32FC1",
    "rgb8",
    "bgra8",
    "yuv422_yuy2",
    "bayer_gbrg8",
    "nv12",
    "8UC3",
    "16SC1",
)


def odd_message(random: Random, sample: Path, folder: Path) -> Path:
    messages = list(two_cameras(3))
    for _ in range(random.choice((1, 1, 2, 4))):
        place = random.randrange(len(messages))
        topic, msgtype, stamp, data = messages[place]
        messages[place] = (topic, *_odd(random, msgtype, stamp, data))
    # One topic has one type in an MCAP file, so the messages of a changed one go to a topic of their own.
    kinds: dict[str, str] = {}
    renamed = [
        (f"{topic}/{kinds[topic]}" if kinds.setdefault(topic, kind) != kind else topic, kind, stamp, data)
        for topic, kind, stamp, data in messages
    ]
    path = folder / "odd.mcap"
    path.unlink(missing_ok=True)
    return write_mcap(path, renamed)


def _odd(random: Random, msgtype: str, stamp: int, data: bytes) -> tuple[str, int, bytes]:
    kind = random.randrange(4)
    if kind == 0:
        return msgtype, stamp, damage_bytes(random, data)
    if kind == 1:
        return msgtype, random.choice((0, 1, max(0, stamp - 10**9), 2**63, 2**64 - 1)), data
    if msgtype == IMAGE:
        return IMAGE, stamp, _odd_image(random, stamp)
    if msgtype == INFO:
        return INFO, stamp, _odd_info(random, stamp)
    return msgtype, stamp, damage_bytes(random, data)


def _odd_image(random: Random, stamp: int) -> bytes:
    width, height = random.choice((8, 1, 3, 96)), random.choice((6, 1, 64))
    fields: dict[str, Any] = {
        "header": header(min(stamp, 2**31 * 10**9 - 1), random.choice(ODD_TEXTS)),
        "height": height,
        "width": width,
        "encoding": random.choice(ENCODINGS),
        "is_bigendian": random.choice((0, 1, 7)),
        "step": width * random.choice((1, 2, 3, 4)),
        "data": np.zeros(width * height * random.choice((1, 2, 3, 4)), np.uint8),
    }
    for _ in range(random.choice((0, 1, 2))):
        name = random.choice(("height", "width", "step", "encoding"))
        fields[name] = random.choice(ODD_TEXTS if name == "encoding" else ODD_NUMBERS)
    return cdr(IMAGE, **fields)


def _odd_info(random: Random, stamp: int) -> bytes:
    message = STORE.deserialize_cdr(camera_info(8, 6, 100.0, min(stamp, 2**31 * 10**9 - 1)), INFO)
    for _ in range(random.choice((1, 2, 3))):
        name = random.choice(("k", "d", "p", "r", "width", "height", "distortion_model", "binning_x"))
        if name in ("k", "d", "p", "r"):
            values = getattr(message, name).copy()
            values[random.randrange(len(values))] = random.choice(ODD_FLOATS)
            message = replace(message, **{name: values[: random.choice((4, 9))] if name == "d" else values})
        else:
            odd = random.choice(ODD_TEXTS if name == "distortion_model" else ODD_NUMBERS)
            message = replace(message, **{name: odd})
    return bytes(STORE.serialize_cdr(message, INFO))


# Images and films


def pictures(folder: Path) -> list[Path]:
    random = np.random.default_rng(0)
    colour = cv2.GaussianBlur(random.integers(0, 256, (24, 32, 3), np.uint8), (0, 0), 2)
    counts = random.integers(29000, 31000, (24, 32), np.uint16)
    for suffix in SUFFIXES:
        write_image(folder / f"colour{suffix}", np.asarray(colour, np.uint8))
    write_image(folder / "counts.png", counts)
    write_image(folder / "counts.tif", counts)
    return sorted(folder.iterdir())


def use_picture(path: Path) -> None:
    try:
        pixels = read_image(path, MAX_PIXELS)
    except Exception:
        decode_compressed(path.read_bytes(), WORDS[path.stat().st_size % len(WORDS)], MAX_PIXELS)
        raise
    assert pixels.dtype in (np.uint8, np.uint16)
    encode_compressed(pixels, "png")


def films(folder: Path) -> list[Path]:
    import av

    scene = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
    scene = np.asarray(cv2.GaussianBlur(scene, (0, 0), 3), np.uint8)
    with VideoWriter(folder / "a.mp4", 10) as writer:
        for shift in range(8):
            writer.write(np.roll(scene, shift, axis=1))
    for suffix, codec in ((".mkv", "mpeg4"), (".avi", "mjpeg"), (".mov", "mpeg4")):
        with av.open(str(folder / f"b{suffix}"), "w") as container:
            stream = container.add_stream(codec, rate=10)
            stream.width, stream.height = 64, 48
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            for shift in range(8):
                frame = av.VideoFrame.from_ndarray(np.roll(scene, shift, axis=1), format="rgb24")
                container.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
            container.mux(stream.encode(None))
    return sorted(folder.iterdir())


def use_film(path: Path) -> None:
    with VideoReader(path, MAX_PIXELS) as reader:
        for _ in islice(reader, _FRAMES):
            pass
    use_source(path, path)


# Texts


def configs(folder: Path) -> list[Path]:
    root = Path(__file__).parents[2]
    return [root / "config" / "fusion.yaml", written(folder, "empty.yaml", "pairing: {max_skew_ms: 20}\n")]


def use_config(path: Path) -> None:
    text = path.read_text(errors="replace")
    lines = [line for line in text.splitlines() if ":" in line]
    words = (line.strip().replace(": ", "=", 1) for line in lines[:40])
    try:
        load_config(PipelineConfig, path)
        load_config(FusionNodeConfig, path)
    finally:
        for word in words:
            assignments([word] if "=" in word else ["a=1"], "--set")


SETTINGS = (
    "pairing.max_skew_ms",
    "pairing.queue_size",
    "registration.calibration",
    "thermal.polarity",
    "detection.classes",
    "fusion.model",
    "images.max_pixels",
    "registration.depth",
    "a.b",
    "",
)


def damage_setting(random: Random, sample: Path, folder: Path) -> Path:
    text = f"{random.choice(SETTINGS)}={random.choice(WORDS)}{random.choice(('', '', *WORDS))}"
    return written(folder, "setting", text.encode(errors="surrogatepass"))


def use_setting(path: Path) -> None:
    load_config(PipelineConfig, None, assignments([path.read_bytes().decode(errors="replace")], "--set"))


def calibrations(folder: Path) -> list[Path]:
    sizes = (80, 64), (96, 72)
    for name, part in (
        ("homography", {"rgb_from_thermal": TILTED}),
        ("remap", {"remap": bulge(sizes[1], sizes[0])}),
        ("rig", {"rig": rig_parts()}),
    ):
        write_calibration(folder / f"{name}.yaml", Calibration(*sizes, **part, quality={"rms_px": 0.2}))
    return sorted(folder.glob("*.yaml"))


def damage_calibration(random: Random, sample: Path, folder: Path) -> Path:
    maps, copy = sample.with_suffix(".npz"), folder / sample.name
    shutil.copy(sample, copy)
    if maps.exists() and random.random() < 0.8:
        copy.with_suffix(".npz").write_bytes(damage_bytes(random, maps.read_bytes()))
    else:
        copy.write_bytes(damage_text(random, sample.read_bytes()))
    return copy


def use_calibration(path: Path) -> None:
    warp = Warp(read_calibration(path))
    warp(np.zeros((64, 80), np.uint8), (96, 72))
    warp.point_map((80, 64), (96, 72))(np.array([[3.0, 4.0]]))


def texts(folder: Path) -> list[Path]:
    qos = "- history: 3\n  depth: 0\n  reliability: 1\n  durability: 2\n  deadline: {sec: 1, nsec: 2}\n"
    key = dict.fromkeys(
        ("model_sha256", "flavour", "version", "gpu", "capability", "size", "precision"), "a"
    )
    record = {
        "key": key,
        "model": "m",
        "runs_in": "f16",
        "fallback": "",
        "check": "",
        "plan_sha256": "",
        "plan_bytes": 1,
        "build_seconds": 1.0,
        "built": "",
    }
    return [
        written(folder, "qos.yaml", qos),
        written(folder, "names.yaml", "names: {0: person, 1: car}\n"),
        written(folder, "labels.txt", "0 0.5 0.5 0.2 0.3\n2 0.1 0.1 0.05 0.05\n"),
        written(
            folder,
            "stamps.csv",
            "timestamp_ns,name\n1700000000000000000,a.png\n1700000000100000000,b.png\n",
        ),
        written(folder, "plan.json", json.dumps(record, indent=1)),
    ]


def damage_texts(random: Random, sample: Path, folder: Path) -> Path:
    return written(folder, sample.name, damage_text(random, sample.read_bytes()))


def use_text(path: Path) -> None:
    if path.suffix == ".json":
        path.with_suffix(".engine").touch()
        read_record(path.with_suffix(".engine"))
    elif path.suffix == ".csv":
        read_stamp_list(path)
    elif path.suffix == ".txt":
        read_boxes(path, (640, 480))
    elif path.stem == "qos":
        read_qos(path.read_bytes().decode(errors="replace"))
    else:
        names_from_yaml(path)


def bag_folders(folder: Path) -> list[Path]:
    return [bags(folder)[4].parent]


def damage_metadata(random: Random, sample: Path, folder: Path) -> Path:
    copy = folder / "bag"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(sample, copy)
    metadata = copy / "metadata.yaml"
    metadata.write_bytes(damage_text(random, metadata.read_bytes()))
    return copy


# Models and checkpoints


def models(folder: Path) -> list[Path]:
    from small_models import write_detector, write_fusion

    return [write_fusion(folder / "fusion.onnx"), write_detector(folder / "detector.onnx")]


def damage_model(random: Random, sample: Path, folder: Path) -> Path:
    import onnx

    if random.random() < 0.5:
        return written(folder, sample.name, damage_bytes(random, sample.read_bytes()))
    model = onnx.load(sample)
    graph = model.graph
    for _ in range(random.choice((1, 2))):
        _odd_graph(random, model, graph)
    return written(folder, sample.name, model.SerializeToString())


def _odd_graph(random: Random, model: Any, graph: Any) -> None:
    kind = random.randrange(7)
    if kind == 0 and graph.node:
        del graph.node[random.randrange(len(graph.node))]
    elif kind == 1 and graph.node:
        random.choice(graph.node).op_type = random.choice(("Relu", "NoSuch", "Cast", "Conv", ""))
    elif kind == 2:
        value = random.choice([*graph.input, *graph.output])
        value.name = random.choice(("thermal", "rgb", "fused", "output0", "", "x"))
    elif kind == 3:
        value = random.choice([*graph.input, *graph.output]).type.tensor_type
        value.elem_type = random.choice((1, 2, 7, 10, 99))
        if value.shape.dim:
            random.choice(value.shape.dim).dim_value = random.choice((0, -1, 1, 3, 2**40))
    elif kind == 4 and graph.initializer:
        weight = random.choice(graph.initializer)
        values = (
            np.frombuffer(weight.raw_data, np.uint8).copy() if weight.raw_data else np.zeros(4, np.uint8)
        )
        values[:] = random.choice((0, 255, 127))
        weight.raw_data = values.tobytes()
    elif kind == 5:
        names = random.choice(
            (
                "{}",
                "[]",
                "{0: 'a'",
                "{1: 'a'}",
                "x",
                "(" * 200,
                "9" * 5000,
                "{0: {}}",
                "['\\0', 'b']",
                "__import__('os')",
            )
        )
        model.metadata_props.add(key=random.choice(("names", "stride", "imgsz")), value=names)
    else:
        model.ir_version = random.choice((0, 3, 99, 2**31))
        model.opset_import[0].version = random.choice((-1, 0, 1, 18, 99))


def use_model(path: Path) -> None:
    backend = load_backend(path, "onnxruntime", threads=1)
    pixels = np.full((64, 96, 3), 90, np.uint8)
    if set(backend.inputs) & {"thermal", "rgb"}:
        Fuser(backend)(pixels[:, :, 0], pixels)
    else:
        Detector(backend, DetectionConfig())(pixels)


def checkpoints(folder: Path) -> list[Path]:
    import torch

    from ivfusion_ros.networks.checkpoint import save_checkpoint

    network = _network()
    state = {"network": "refinefuse_lite", "weights": network.state_dict(), "step": 3, "config": {"a": 1}}
    save_checkpoint(folder / "last.pt", state)
    torch.save({"model": network, "names": {0: "a"}}, folder / "detector.pt")
    torch.save(state, folder / "old.pt", _use_new_zipfile_serialization=False)
    return sorted(folder.iterdir())


def _network() -> Any:
    from ivfusion_ros.networks import RefineFuseLite

    return RefineFuseLite((4, 4, 4, 4))


def damage_checkpoint(random: Random, sample: Path, folder: Path) -> Path:
    import torch

    if sample.stem != "last" or random.random() < 0.5:
        return written(folder, sample.name, damage_bytes(random, sample.read_bytes()))
    state = torch.load(sample, weights_only=True)
    odd = random.choice(
        (None, [], {}, "x", 1, float("nan"), [1, 2], {"a": [1]}, torch.zeros(3), {1: torch.zeros(1)})
    )
    name = random.choice(("network", "weights", "ema", "config", "step"))
    if random.random() < 0.3:
        state.pop(name, None)
    elif name == "weights" and random.random() < 0.5:
        state["weights"][random.choice(list(state["weights"]))] = odd
    else:
        state[name] = odd
    path = folder / sample.name
    torch.save(random.choice((state, state, state, odd)), path)
    return path


def use_checkpoint(path: Path) -> None:
    from ivfusion_ros.export.safe_pickle import check_is_data
    from ivfusion_ros.networks.checkpoint import load_checkpoint, load_weights

    if path.stem == "detector":
        check_is_data(path, path)
        return
    load_checkpoint(path)
    load_weights(_network(), path)


KINDS: dict[str, Kind] = {
    "bags": Kind(bags, by(damage_bytes), use_source),
    "tables": Kind(lambda folder: [bags(folder)[4]], damage_tables, use_source),
    "metadata": Kind(bag_folders, damage_metadata, use_source),
    "messages": Kind(lambda folder: [folder], odd_message, use_source),
    "images": Kind(pictures, by(damage_bytes), use_picture),
    "films": Kind(films, by(damage_bytes), use_film),
    "configs": Kind(configs, by(damage_text), use_config),
    "settings": Kind(lambda folder: [folder], damage_setting, use_setting),
    "calibrations": Kind(calibrations, damage_calibration, use_calibration),
    "texts": Kind(texts, damage_texts, use_text),
    "models": Kind(models, damage_model, use_model),
    "checkpoints": Kind(checkpoints, damage_checkpoint, use_checkpoint),
}
