"""Kinds of images that a data set shows its scenes in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.types import CAMERAS

if TYPE_CHECKING:
    from ivfusion_ros.sources.scenes import Scene

HAZE = "+haze"


@dataclass(frozen=True)
class Kind:
    """One kind of images: thermal, rgb, or a fusion network by name or file."""

    model: str
    share: float = 1.0
    """Of the training pairs; the held-out ones are always there in every kind."""
    haze: bool = False
    """Whether the RGB image, alone or fused, is in smoke."""

    @property
    def name(self) -> str:
        """Of its folder."""
        return Path(self.model).stem + (HAZE if self.haze else "")

    @classmethod
    def parse(cls, text: str) -> Kind:
        """`NAME` or `NAME:SHARE`; of rgb and networks, `NAME+haze` too. Raises ConfigError."""
        model, colon, share = text.rpartition(":")
        if not colon:
            model, share = text, "1"
        if not model:
            raise ConfigError(
                f"{text!r} names no kind of images, expected thermal, rgb or a fusion network"
            )
        if "," in model and not Path(model).exists():
            raise ConfigError(f"{text!r} names no kind of images; several are apart by spaces: thermal rgb")
        try:
            value = float(share)
        except ValueError:
            value = 0.0
        if not 0 < value <= 1:
            raise ConfigError(
                f"{text!r} asks for a share of {share!r}, expected one above 0 up to 1, as in mst:0.5"
            )
        haze = model.endswith(HAZE)
        if model == "thermal" + HAZE:
            raise ConfigError(
                f"{text!r}: thermal images do not show smoke; expected rgb{HAZE} or NAME{HAZE}"
            )
        return cls(model.removesuffix(HAZE), value, haze)

    def shows(self, scene: Scene) -> bool:
        """Whether the cameras that saw a scene can give an image of this kind."""
        if self.model in CAMERAS:
            return (scene.thermal if self.model == "thermal" else scene.rgb) is not None
        return scene.thermal is not None and scene.rgb is not None
