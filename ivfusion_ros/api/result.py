"""A fusion result that can be looked at, saved and written down."""

from __future__ import annotations

from dataclasses import fields
from html import escape
from typing import TYPE_CHECKING, Any

from ivfusion_ros.detection.rows import as_rows
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.images.draw import annotate
from ivfusion_ros.images.encodings import to_rgb
from ivfusion_ros.images.files import data_uri, write_image
from ivfusion_ros.types import FusionResult, Image

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

_FORMAT, _QUALITY = "jpeg", 85
"""Of images in a notebook."""
_COLUMNS = ("class", "score", "track", "max_kelvin")


class Result(FusionResult):
    """A FusionResult with pictures of it."""

    @classmethod
    def of(cls, result: FusionResult) -> Result:
        """The same result."""
        return cls(**{item.name: getattr(result, item.name) for item in fields(result)})

    def picture(self) -> Image:
        """The fused image with the boxes of what was found, (H, W, 3) uint8 RGB."""
        return self.fused if self.detections is None else annotate(self.fused, self.detections)

    def save(self, path: str | Path, *, boxes: bool = False) -> None:
        """Write the fused image; the suffix chooses PNG, JPEG, WebP, TIFF or BMP. Raises ImageError.

        boxes: with those of what was found.
        """
        write_image(path, self.picture() if boxes else self.fused)

    def to_dict(self) -> dict[str, Any]:
        """What is known beside the images, as JSON holds it; detections is null without a detector."""
        report = self.registration
        return {
            "stamp_ns": self.stamp_ns,
            "frame_id": self.frame_id,
            "size": list(self.size),
            "mode": self.mode,
            "skew_ms": round(self.skew_ns / 1e6, 3),
            "faults": list(self.faults.labels),
            "registration": {item.name: getattr(report, item.name) for item in fields(report)},
            "detections": None if self.detections is None else as_rows(self.detections),
            "timings_ms": {name: round(value, 3) for name, value in self.timings_ms.items()},
        }

    def plot(self) -> Figure:
        """Thermal, RGB and the picture with boxes side by side. Raises ConfigError without matplotlib."""
        width, height = self.size
        figure: Figure
        figure, panels = _pyplot().subplots(1, 3, figsize=(15, 5.4 * height / width), layout="constrained")
        for axes, (name, image) in zip(panels, self._images().items(), strict=True):
            axes.imshow(image)
            axes.set_title(name)
            axes.set_axis_off()
        return figure

    def show(self) -> None:
        """Open `plot` in a window, until that is closed. Raises ConfigError where it cannot be."""
        pyplot = _pyplot()
        if pyplot.get_backend().lower() == "agg":
            raise ConfigError(
                "there is no display to show a window on; use save(), or plot() in a notebook"
            )
        self.plot()
        pyplot.show()

    def _images(self) -> dict[str, Image]:
        return {"thermal": to_rgb(self.thermal), "RGB": self.rgb, "fused": self.picture()}

    def _repr_html_(self) -> str:
        """The three images and a table of what was found, for notebooks."""
        images = "".join(
            f'<figure style="display:inline-block;width:32%;margin:0 .5%"><figcaption>{name}</figcaption>'
            f'<img style="width:100%" alt="{name}" src="{data_uri(image, _FORMAT, _QUALITY)}"></figure>'
            for name, image in self._images().items()
        )
        return f"<div>{images}{self._table()}</div>"

    def _table(self) -> str:
        if not self.detections:
            return ""
        rows = as_rows(self.detections)
        columns = [column for column in _COLUMNS if column in rows[0]]
        lines = [columns, *([_cell(row[column]) for column in columns] for row in rows)]
        cells = ("".join(f"<td>{escape(cell)}</td>" for cell in line) for line in lines)
        return f"<table>{''.join(f'<tr>{line}</tr>' for line in cells)}</table>"


def _pyplot() -> Any:
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ConfigError("pictures in a window need matplotlib: pip install matplotlib") from error
    return pyplot


def _cell(value: Any) -> str:
    return "" if value is None else str(value)
