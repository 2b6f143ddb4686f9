"""fusion_node on the topics of two cameras: ros2 launch ivfusion_ros live.launch.py --show-args."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode

from launch import LaunchDescription

# An empty value leaves the parameter to the config file, or to the node's own default.
PARAMETERS = {
    "model": ("fusion.model", "fusion model: a name in models.yaml or an ONNX file"),
    "backend": ("fusion.backend", "what runs the fusion model: auto, measured, onnxruntime, openvino ..."),
    "detector": ("detection.model", "detection model: a name in models.yaml or an ONNX file"),
    "detector_backend": ("detection.backend", "what runs the detection model"),
    "threshold": ("detection.confidence", "lowest score that is reported"),
    "iou": ("detection.iou", "overlap (IoU) from which two boxes of a class are one object"),
    "tracker": ("tracking.tracker", "off or bytetrack: objects keep their id from image to image"),
    "hold_thermal_ms": (
        "pairing.hold_thermal_ms",
        "up to this age the last thermal image serves further RGB images, for a slow thermal camera",
    ),
    "calibration": ("registration.calibration", "calibration file (YAML)"),
    "extrinsics": (
        "registration.extrinsics",
        "calibration, or tf: the transform between the cameras' frames, for a calibration with a rig",
    ),
    "rgb_transport": ("node.rgb_transport", "raw or compressed"),
    "thermal_transport": ("node.thermal_transport", "raw or compressed"),
}
OTHERS = {
    "namespace": ("", "namespace of the node and of its relative topics"),
    "node_name": ("fusion_node", "name of the node"),
    "log_level": ("info", "debug, info, warn or error"),
    "respawn": ("false", "start the node again when it ends"),
    "device": (
        "",
        "cpu, or cuda or cuda:N by TensorRT; empty: a GPU where one can be used, as backend says",
    ),
    "rgb_topic": ("rgb/image_raw", "RGB image topic; camera_info is expected beside it"),
    "thermal_topic": ("thermal/image_raw", "thermal image topic; camera_info is expected beside it"),
    "image_reliability": ("", "reliable or best_effort, of both image subscriptions; empty: best_effort"),
    "depth_topic": ("", "depth image topic in the view of the RGB camera; empty: none, or as config says"),
    "config": ("", "ROS parameter file; empty: the one that is installed with the package"),
    "autostart": ("true", "configure and activate the node at once"),
    "dds": ("", "profile of config/dds for large images: cyclonedds or fastdds; the cameras need it too"),
    "use_sim_time": ("false", "take the time from /clock"),
}


# Which variable each implementation finds its profile by.
DDS = {"cyclonedds": ("CYCLONEDDS_URI", "file://{}"), "fastdds": ("FASTRTPS_DEFAULT_PROFILES_FILE", "{}")}


def profile(name, share):
    variable, value = DDS[name]
    return SetEnvironmentVariable(variable, value.format(share / "config" / "dds" / f"{name}.xml"))


def environment(device):
    """What hides the other GPUs, or all of them, from the node."""
    kind, _, number = device.partition(":")
    if kind not in ("", "cpu", "cuda") or (number and (kind != "cuda" or not number.isdecimal())):
        raise ValueError(f"device:={device} is unknown, expected cpu, cuda or cuda:N with a GPU's number")
    return {"CUDA_VISIBLE_DEVICES": number} if kind == "cpu" or number else {}


def remappings(camera, topic):
    folder = topic.rpartition("/")[0]
    return [
        (f"{camera}/image_raw", topic),
        (f"{camera}/image_raw/compressed", f"{topic}/compressed"),
        (f"{camera}/camera_info", f"{folder}/camera_info" if folder else "camera_info"),
    ]


def reliability(given):
    topics = (
        given[f"{camera}_topic"] + "/compressed" * (given[f"{camera}_transport"] == "compressed")
        for camera in ("rgb", "thermal")
    )
    names = (topic if topic.startswith("/") else f"/{given['namespace']}/{topic}" for topic in topics)
    return {
        f"qos_overrides.{name.replace('//', '/')}.subscription.reliability": given["image_reliability"]
        for name in names
    }


def start_node(context):
    given = {name: LaunchConfiguration(name).perform(context) for name in (*PARAMETERS, *OTHERS)}
    share = Path(get_package_share_directory("ivfusion_ros"))
    on_gpu = given["device"].startswith("cuda")
    overrides = {"fusion.backend": "tensorrt", "detection.backend": "tensorrt"} if on_gpu else {}
    overrides |= {PARAMETERS[name][0]: given[name] for name in PARAMETERS if given[name]}
    overrides["node.autostart"] = given["autostart"].lower() == "true"
    if given["image_reliability"]:
        overrides |= reliability(given)
    if given["depth_topic"]:
        overrides["registration.depth"] = True
    overrides["use_sim_time"] = given["use_sim_time"].lower() == "true"
    # Nodes of one name in several namespaces would be one in /diagnostics.
    overrides["diagnostic_updater.use_fqn"] = True
    if given["dds"] and given["dds"] not in DDS:
        raise ValueError(f"dds:={given['dds']} is no profile of config/dds, expected {' or '.join(DDS)}")
    return [
        *([profile(given["dds"], share)] if given["dds"] else []),
        LifecycleNode(
            package="ivfusion_ros",
            executable="fusion_node",
            name=given["node_name"],
            namespace=given["namespace"],
            parameters=[given["config"] or str(share / "config" / "fusion.yaml"), overrides],
            remappings=[
                *remappings("rgb", given["rgb_topic"]),
                *remappings("thermal", given["thermal_topic"]),
                *([("depth/image_raw", given["depth_topic"])] if given["depth_topic"] else []),
            ],
            ros_arguments=["--log-level", given["log_level"]],
            additional_env=environment(given["device"]),
            respawn=given["respawn"].lower() == "true",
            respawn_delay=1.0,
            output="screen",
        ),
    ]


def generate_launch_description():
    arguments = [
        DeclareLaunchArgument(name, default_value="", description=f"{text} (parameter {parameter})")
        for name, (parameter, text) in PARAMETERS.items()
    ]
    arguments += [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in OTHERS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=start_node)])
