"""Results for Foxglove and Lichtblick, which connect without ROS: images, boxes, calibration, times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ivfusion_ros.detection.rows import as_rows
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.images.encodings import to_rgb
from ivfusion_ros.images.files import encode_compressed
from ivfusion_ros.report.shot import facts_of, label_of

if TYPE_CHECKING:
    from types import TracebackType

    from ivfusion_ros.types import Detections, FusionResult

_QUALITY = 80
_NS = 10**9
_COLOURS = ((1.0, 0.32, 0.32), (0.25, 0.77, 1.0), (1.0, 0.76, 0.03), (0.46, 0.9, 0.35), (0.88, 0.43, 1.0))
IMAGES = ("thermal", "rgb", "fused")


class FoxgloveServer:
    """Serves results to this machine in its `with` block; a topic that nobody subscribed costs nothing.

    Topics: /thermal/image, /rgb/image, /fused/image, /fused/objects (ImageAnnotations), /fused/calibration
    where the camera's is known, /status. Raises ConfigError without foxglove-sdk, or for a port in use.
    """

    def __init__(self, port: int) -> None:
        try:
            import foxglove
            from foxglove import channels, messages
        except ImportError as error:
            raise ConfigError(
                f"--foxglove needs foxglove-sdk ({error}): pip install foxglove-sdk"
            ) from error
        self._messages: Any = messages
        # Server and channels do not keep it.
        self._context = context = foxglove.Context()
        self._images = {
            name: channels.CompressedImageChannel(f"/{name}/image", context=context) for name in IMAGES
        }
        self._objects = channels.ImageAnnotationsChannel("/fused/objects", context=context)
        self._calibration = channels.CameraCalibrationChannel("/fused/calibration", context=context)
        self._status = foxglove.Channel("/status", message_encoding="json", context=context)
        try:
            self._server = foxglove.start_server(name="ivfusion", port=port, context=context)
        except (OSError, RuntimeError) as error:
            raise ConfigError(
                f"cannot serve Foxglove at port {port}: {error}; give another one, --foxglove PORT"
            ) from error
        self.port: int = self._server.port

    def __enter__(self) -> FoxgloveServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()

    def add(self, result: FusionResult) -> None:
        """Send the next result to who subscribed."""
        made, stamp = self._messages, result.stamp_ns
        when = made.Timestamp(sec=stamp // _NS, nsec=stamp % _NS)
        images = {"thermal": result.thermal, "rgb": result.rgb, "fused": result.fused}
        for name, channel in self._images.items():
            if channel.has_sinks():
                data = encode_compressed(to_rgb(images[name]), "jpeg", _QUALITY)
                channel.log(
                    made.CompressedImage(
                        timestamp=when, frame_id=result.frame_id or "camera", data=data, format="jpeg"
                    ),
                    log_time=stamp,
                )
        if result.detections is not None and self._objects.has_sinks():
            self._objects.log(self._annotations(result.detections, when), log_time=stamp)
        if result.camera_info is not None and self._calibration.has_sinks():
            self._calibration.log(self._camera(result, when), log_time=stamp)
        if self._status.has_sinks():
            self._status.log({**facts_of(result), "ms": dict(result.timings_ms)}, log_time=stamp)

    def _camera(self, result: FusionResult, when: Any) -> Any:
        info = result.camera_info
        assert info is not None
        return self._messages.CameraCalibration(
            timestamp=when,
            frame_id=result.frame_id or "camera",
            width=info.width,
            height=info.height,
            distortion_model=info.distortion_model,
            D=list(info.d),
            K=list(info.k),
            R=list(info.r),
            P=list(info.p),
        )

    def _annotations(self, detections: Detections, when: Any) -> Any:
        made = self._messages
        points, texts = [], []
        for row, class_id in zip(as_rows(detections), detections.class_ids.tolist(), strict=True):
            left, top, right, bottom = row["box_xyxy"]
            red, green, blue = _COLOURS[class_id % len(_COLOURS)]
            colour = made.Color(r=red, g=green, b=blue, a=1.0)
            corners = ((left, top), (right, top), (right, bottom), (left, bottom))
            points.append(
                made.PointsAnnotation(
                    timestamp=when,
                    type=made.PointsAnnotationType.LineLoop,
                    points=[made.Point2(x=x, y=y) for x, y in corners],
                    outline_color=colour,
                    thickness=2.0,
                )
            )
            texts.append(
                made.TextAnnotation(
                    timestamp=when,
                    position=made.Point2(x=left, y=top),
                    text=label_of(row),
                    font_size=12.0,
                    text_color=colour,
                    background_color=made.Color(r=0.0, g=0.0, b=0.0, a=0.6),
                )
            )
        return made.ImageAnnotations(points=points, texts=texts)
