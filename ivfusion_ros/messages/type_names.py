"""Full names of the message types that are read or made, as ROS 2 writes them, and what they carry."""

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
DETECTIONS = "vision_msgs/msg/Detection2DArray"
POINTS = "sensor_msgs/msg/PointCloud2"
DETECTIONS_3D = "vision_msgs/msg/Detection3DArray"
LABEL_INFO = "vision_msgs/msg/LabelInfo"
LOG = "rcl_interfaces/msg/Log"
NAV_SAT_FIX = "sensor_msgs/msg/NavSatFix"
TRANSFORMS = "tf2_msgs/msg/TFMessage"

FOXGLOVE_IMAGE = "foxglove_msgs/msg/RawImage"
FOXGLOVE_COMPRESSED_IMAGE = "foxglove_msgs/msg/CompressedImage"
FOXGLOVE_VIDEO = "foxglove_msgs/msg/CompressedVideo"
FOXGLOVE_CALIBRATION = "foxglove_msgs/msg/CameraCalibration"
FFMPEG_PACKET = "ffmpeg_image_transport_msgs/msg/FFMPEGPacket"

RAW_IMAGES = (IMAGE, FOXGLOVE_IMAGE)
COMPRESSED_IMAGES = (COMPRESSED_IMAGE, FOXGLOVE_COMPRESSED_IMAGE)
VIDEOS = (FOXGLOVE_VIDEO, FFMPEG_PACKET)
IMAGES = (*RAW_IMAGES, *COMPRESSED_IMAGES, *VIDEOS)
"""What a camera's frames come in, the easiest to read first."""
CAMERA_INFOS = (CAMERA_INFO, FOXGLOVE_CALIBRATION)

_RENAMED = {"foxglove": "foxglove_msgs", "tf/msg/tfMessage": TRANSFORMS}


def full_name(written: str) -> str:
    """A type's name as ROS 2 has it, of the ways in which recorders write it.

    sensor_msgs/Image, sensor_msgs::msg::dds_::Image_ and foxglove.RawImage are examples.
    """
    words = [word for word in written.replace("::", "/").replace(".", "/").split("/") if word != "dds_"]
    if len(words) < 2:
        return written
    package, name = _RENAMED.get(words[0], words[0]), words[-1].rstrip("_")
    kind = words[-2] if len(words) > 2 else "msg"
    return _RENAMED.get(f"{package}/{kind}/{name}", f"{package}/{kind}/{name}")
