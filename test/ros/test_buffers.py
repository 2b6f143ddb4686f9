"""Images in other memory, with stand-ins for what ROS 2 Lyrical has."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.messages import to_frame
from ivfusion_ros.ros.buffers import on_host, subscription_options


class CudaBuffer:
    """As rosidl_buffer.Buffer of a backend: no buffer protocol, only a copy on request."""

    backend_type = "cuda"

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __len__(self) -> int:
        return len(self._content)

    def to_bytes(self) -> bytes:
        return self._content


def jazzy(kind: Any, topic: str, callback: Any, qos: Any, *, raw: bool = False) -> None: ...


def lyrical(
    kind: Any,
    topic: str,
    callback: Any,
    qos: Any,
    *,
    raw: bool = False,
    acceptable_buffer_backends: str = "cpu",
) -> None: ...


def image(data: Any) -> Any:
    stamp = SimpleNamespace(sec=7, nanosec=9)
    return SimpleNamespace(
        header=SimpleNamespace(stamp=stamp, frame_id="camera"), height=2, width=3, encoding="mono16",
        is_bigendian=0, step=6, data=data,
    )  # fmt: skip


def test_by_default_images_come_as_bytes_everywhere() -> None:
    assert subscription_options("cpu", jazzy) == subscription_options("cpu", lyrical) == {"raw": True}


def test_a_backend_is_asked_for_where_there_are_any() -> None:
    assert subscription_options("cuda", lyrical) == {"acceptable_buffer_backends": "cuda"}
    with pytest.raises(ConfigError, match=r"image_buffers is cuda, but .* Lyrical; set it to cpu"):
        subscription_options("cuda", jazzy)


def test_an_image_on_a_gpu_is_the_same_image() -> None:
    counts = np.arange(6, dtype=np.uint16)
    there, here = image(CudaBuffer(counts.tobytes())), image(counts.tobytes())
    assert on_host(here) is here
    frame = to_frame(on_host(there))
    assert np.array_equal(frame.image, counts.reshape(2, 3))
    assert (frame.stamp_ns, frame.frame_id) == (7_000_000_009, "camera")
