"""Results as a recording of Rerun, whose viewer steps through them: images, boxes, times, faults."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ivfusion_ros.detection.rows import as_rows
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.files import whole_file
from ivfusion_ros.images.encodings import to_rgb
from ivfusion_ros.images.files import encode_compressed
from ivfusion_ros.report.heat import measured_values
from ivfusion_ros.report.shot import label_of

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from ivfusion_ros.types import Detections, FusionResult

_QUALITY = 85


class RerunFile:
    """Takes results in its `with` block; the file is there whole at its end, or not at all.

    Raises ConfigError without rerun-sdk.
    """

    def __init__(self, path: Path) -> None:
        try:
            import rerun
        except ImportError as error:
            raise ConfigError(f"--rerun needs rerun-sdk ({error}): pip install rerun-sdk") from error
        self._rerun: Any = rerun
        self._whole = whole_file(path)
        self._index = 0

    def __enter__(self) -> RerunFile:
        self._stream = self._rerun.RecordingStream("ivfusion_ros")
        self._stream.save(self._whole.__enter__(), default_blueprint=self._layout())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.flush()
        self._stream.disconnect()
        self._whole.__exit__(kind, error, trace)

    def add(self, result: FusionResult) -> None:
        """Take the next result."""
        rerun, stream = self._rerun, self._stream
        stream.set_time("stamp", timestamp=result.stamp_ns / 1e9)
        stream.set_time("pair", sequence=self._index)
        self._index += 1
        images = {"thermal": to_rgb(result.thermal), "rgb": result.rgb, "fused": result.fused}
        for name, image in images.items():
            content = encode_compressed(image, "jpeg", _QUALITY)
            stream.log(name, rerun.EncodedImage(contents=content, media_type="image/jpeg"))
        if result.detections is not None:
            stream.log("fused/objects", self._boxes(result.detections))
        for stage, milliseconds in result.timings_ms.items():
            stream.log(f"ms/{stage}", rerun.Scalars(milliseconds))
        stream.log("skew_ms", rerun.Scalars(result.skew_ns / 1e6))
        if result.measured is not None:
            values, unit = measured_values(result.measured)
            hottest = float(values[values == values].max(initial=-math.inf))
            if math.isfinite(hottest):
                stream.log(f"hottest/{'celsius' if unit == '°C' else unit}", rerun.Scalars(hottest))
        if result.faults.labels:
            text = ", ".join(result.faults.labels)
            stream.log("faults", rerun.TextLog(text, level=rerun.TextLogLevel.WARN))

    def _layout(self) -> Any:
        """Images above, curves and faults below: what a viewer guesses is a grid of equal tiles."""
        from rerun import blueprint

        images = [
            blueprint.Spatial2DView(origin=name, contents=f"{name}/**", name=name)
            for name in ("thermal", "rgb", "fused")
        ]
        curves = [
            blueprint.TimeSeriesView(origin=origin, name=name)
            for origin, name in (("ms", "stages, ms"), ("skew_ms", "skew, ms"), ("hottest", "hottest"))
        ]
        faults = blueprint.TextLogView(origin="faults", name="faults")
        return blueprint.Blueprint(
            blueprint.Vertical(
                blueprint.Horizontal(*images), blueprint.Horizontal(*curves, faults), row_shares=[3, 2]
            ),
            collapse_panels=True,
        )

    def _boxes(self, detections: Detections) -> Any:
        return self._rerun.Boxes2D(
            array=detections.boxes_xyxy,
            array_format=self._rerun.Box2DFormat.XYXY,
            labels=[label_of(row) for row in as_rows(detections)],
            class_ids=detections.class_ids,
        )
