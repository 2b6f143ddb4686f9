"""Images for a node whose fused image is the blend of both, and what it makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import harness
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH, HEIGHT = 96, 64
SKEW_NS = 3 * harness.MS


def noise(seed: int = 1, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def grey(value: int = 100, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return np.full((height, width), value, np.uint8)


def pixels(message: Any) -> np.ndarray:
    assert (message.encoding, message.is_bigendian, message.step) == ("rgb8", 0, 3 * message.width)
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)


def blend(rgb: np.ndarray, thermal: np.ndarray) -> np.ndarray:
    return ((rgb.astype(int) + thermal[..., None]) // 2).astype(np.uint8)


def send(cameras: Any, rgb: np.ndarray | None = None, thermal: np.ndarray | None = None) -> Any:
    rgb = noise() if rgb is None else rgb
    thermal = grey() if thermal is None else thermal
    return cameras.send(
        harness.image(rgb, "rgb8", frame_id="rgb_optical_frame"),
        harness.image(thermal, "mono8", frame_id="thermal_optical_frame"),
        SKEW_NS,
    )


def send_until(
    cameras: Any, listener: Any, before_each: Callable[[], None] = lambda: None, **images: np.ndarray
) -> Any:
    """Send pairs until the listener gets what belongs to the newest one; returns that."""

    def found() -> Any:
        before_each()
        send(cameras, **images)
        return listener.find(lambda message: harness.stamp_of(message) >= cameras.now_ns, 0.5)

    return harness.wait_until(found, "a message of the newest pair")
