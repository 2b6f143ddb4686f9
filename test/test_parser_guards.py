"""Whatever a parser raises is one of our errors, and what declares more than it has is refused."""

import io
import struct
import zipfile

import cv2
import numpy as np
import pytest
from bag_samples import START_NS, camera_info, two_cameras, write_rosbag2

from ivfusion_ros.bags import BagReader
from ivfusion_ros.bags.mcap_file import read_qos
from ivfusion_ros.errors import BagError, ConfigError, DataError, ImageError, ModelError, refusing
from ivfusion_ros.geometry.calibration import read_calibration
from ivfusion_ros.images.files import decode_compressed
from ivfusion_ros.images.labels import read_boxes


def test_a_guard_turns_what_is_raised_and_lets_ours_pass() -> None:
    with (
        pytest.raises(DataError, match=r"the file cannot be read \(ZeroDivisionError: .*\), expected b"),
        refusing(DataError, "the file", "b"),
    ):
        1 / 0  # noqa: B018
    with pytest.raises(ModelError, match=r"^ours$"), refusing(DataError, "a", "b"):
        raise ModelError("ours")
    with pytest.raises(DataError, match="cannot read a: No such file"), refusing(DataError, "a", "b"):
        open("/no/such/file")  # noqa: PTH123, SIM115


HEAD = "thermal_size: [8, 6]\nrgb_size: [8, 6]\n"


def saved(**maps) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **maps)
    return file.getvalue()


def with_header(text: bytes) -> bytes:
    """An .npz whose arrays have another header."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("map_x.npy", "map_y.npy"):
            archive.writestr(name, b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text)
    return file.getvalue()


WHOLE = saved(map_x=np.zeros((6, 8), np.float32), map_y=np.zeros((6, 8), np.float32))
DAMAGED_MAPS = [
    b"",
    b"PK",
    WHOLE[:-30],
    WHOLE[:60] + b"\xff" * 20 + WHOLE[80:],
    saved(map_x=np.zeros(3)),
    with_header(b"{'descr': '<f4', 'shape': (1"),
    with_header(b"(" * 500),
    with_header(b"{'descr': '|O'}"),
    saved(map_x=np.array([{}], object), map_y=np.zeros(1)),
]


@pytest.mark.parametrize("content", DAMAGED_MAPS)
def test_damaged_maps_are_refused(tmp_path, content) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    (tmp_path / "a.yaml").write_text(f"{HEAD}remap: a.npz\n")
    with pytest.raises(ConfigError):
        read_calibration(tmp_path / "a.yaml")


def test_maps_that_unpack_to_gigabytes_are_refused(tmp_path) -> None:
    with (
        zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("map_x.npy", "w", force_zip64=True) as entry,
    ):
        for _ in range(65):
            entry.write(bytes(2**24))
    (tmp_path / "a.yaml").write_text(f"{HEAD}remap: a.npz\n")
    with pytest.raises(ConfigError, match="unpacks to"):
        read_calibration(tmp_path / "a.yaml")


def test_a_number_too_large_for_a_float_is_refused(tmp_path) -> None:
    (tmp_path / "a.yaml").write_text(f"{HEAD}affine: [[1, 0, {'9' * 400}], [0, 1, 0]]\n")
    with pytest.raises(ConfigError, match="affine"):
        read_calibration(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    "text", [b"0 0.5 0.5 x 0.1", b"0 0.5", b"\xff\xfe", b"0 1 1 1 nan", b"0 1 1 1 1e400"]
)
def test_label_files_of_another_form_are_refused(tmp_path, text) -> None:
    (tmp_path / "a.txt").write_bytes(text)
    with pytest.raises(DataError, match=r"expected .*YOLO"):
        read_boxes(tmp_path / "a.txt", (8, 6))


def test_a_png_whose_chunk_ends_behind_the_file_is_refused_before_it_is_decoded() -> None:
    content = cv2.imencode(".png", np.zeros((6, 8), np.uint8))[1].tobytes()
    place = content.index(b"IDAT") - 4
    huge = content[:place] + struct.pack(">I", 2**32 - 2) + content[place + 4 :]
    for damaged in (huge, content[:-20]):
        with pytest.raises(ImageError, match="damaged or truncated PNG"):
            decode_compressed(damaged)
    assert decode_compressed(content + b"behind its end").shape == (6, 8)


ENDLESS = (
    "WITH RECURSIVE n(id, topic_id, timestamp, data) AS (SELECT 1, 1, 1, x'00' UNION ALL "
    "SELECT id + 1, 1, 1, x'00' FROM n) SELECT * FROM n"
)


def database(folder, *statements):
    import apsw
    from rosbags.rosbag2 import StoragePlugin

    path = write_rosbag2(folder / "bag", two_cameras(3), StoragePlugin.SQLITE3) / "bag.db3"
    connection = apsw.Connection(str(path))
    for statement in statements:
        connection.execute(statement)
    connection.close()
    return path


@pytest.mark.parametrize("name", ["messages", "topics"])
def test_a_view_in_place_of_a_table_is_refused(tmp_path, name) -> None:
    path = database(tmp_path, f"ALTER TABLE {name} RENAME TO old", f"CREATE VIEW {name} AS {ENDLESS}")
    with pytest.raises(BagError, match=f"its {name} is no table"):
        BagReader(path).__enter__()


def test_messages_of_another_type_on_a_cameras_topic_cost_nothing_else(tmp_path) -> None:
    info = camera_info(8, 6, 100.0, START_NS).hex()
    path = database(
        tmp_path,
        "INSERT INTO topics SELECT 99, name, 'sensor_msgs/msg/CameraInfo', serialization_format, "
        "offered_qos_profiles, type_description_hash FROM topics WHERE name = '/rgb/image_raw'",
        f"INSERT INTO messages (topic_id, timestamp, data) VALUES (99, {START_NS - 5}, x'{info}')",
    )
    with BagReader(path) as reader:
        frames = list(reader.frames(reader.choose_topics()))
    assert len(frames) == 6


@pytest.mark.parametrize(
    "text", ["[" * 3000, "- {a: " * 300, "&a [*a]", "- history: 2001-99-99", "\0", "- 1"]
)
def test_profiles_that_cannot_be_understood_are_left_out(text) -> None:
    assert read_qos(text) == ()


def test_a_size_of_zero_is_no_detector(tmp_path) -> None:
    onnx = pytest.importorskip("onnx")
    from small_models import write_detector

    from ivfusion_ros.backends import load_backend
    from ivfusion_ros.config.pipeline import DetectionConfig
    from ivfusion_ros.detection import Detector

    model = onnx.load(write_detector(tmp_path / "a.onnx"))
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 0
    onnx.save(model, tmp_path / "a.onnx")
    with pytest.raises(ModelError):
        Detector(load_backend(tmp_path / "a.onnx", "onnxruntime"), DetectionConfig())


def test_an_odd_part_of_a_checkpoint_is_refused(tmp_path) -> None:
    torch = pytest.importorskip("torch")
    from ivfusion_ros.networks.checkpoint import load_checkpoint

    good = {"network": "mda", "weights": {"a": torch.zeros(1)}}
    for odd in (
        good | {"ema": torch.zeros(3)},
        good | {"weights": [1]},
        good | {"weights": {}},
        good | {"network": 1},
        good | {"weights": {1: torch.zeros(1)}},
        [good],
        None,
    ):
        torch.save(odd, tmp_path / "last.pt")
        with pytest.raises(ModelError, match="ivfusion train"):
            load_checkpoint(tmp_path / "last.pt")
