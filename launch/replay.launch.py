"""A bag through the live node, maybe recorded: ros2 launch ivfusion_ros replay.launch.py bag:=FOLDER.

It takes the arguments of live.launch.py as well. For a bag on a desk, `ivfusion replay` needs no ROS
and drops nothing.
"""

import os
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    TimerAction,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.event_handlers import OnStateTransition

from launch import LaunchDescription

RECORDED = (
    "fused/image_raw",
    "fused/camera_info",
    "detections",
    "detections/label_info",
    "detections/temperatures",
    "detections_3d",
)
ARGUMENTS = {
    "output": ("", "bag folder to record the results in; empty: none"),
    "loop": ("false", "play the bag in a loop"),
    "rate": ("1.0", "playback rate"),
    "use_sim_time": ("true", "run the node on the bag's time (/clock)"),
}
ROSBAG2 = ("ros2bag", "rosbag2_storage_mcap")
LAST_IMAGES_S = 2.0
DISCOVERY_S = 1.0


def fail(reason):
    """Shut down with exit status 1, which launch has for exceptions alone."""

    def end(_context):
        raise RuntimeError(reason)

    return OpaqueFunction(function=end)


def require_rosbag2():
    """Told before anything starts; `ros2` itself would print its usage and no reason.

    Raises RuntimeError with the packages that are missing and how to install them.
    """
    for package in ROSBAG2:
        try:
            get_package_prefix(package)
        except PackageNotFoundError:
            debian = f"ros-{os.environ.get('ROS_DISTRO', 'DISTRO')}-{package.replace('_', '-')}"
            raise RuntimeError(
                f"the replay plays and records by ros2 bag, whose package {package} is not in this "
                f"environment: apt install {debian}, or replay without ROS by `ivfusion replay`"
            ) from None


def finish(event, context):
    """When the player is at the end of the bag, or any process has failed."""
    if context.is_shutdown:
        return None
    if event.returncode:
        return fail(f"{event.process_name} ended with exit status {event.returncode}")
    reason = "the replay has ended"
    ending = [LogInfo(msg=reason), EmitEvent(event=Shutdown(reason=reason))]
    return TimerAction(period=LAST_IMAGES_S, actions=ending)


def player(given):
    command = ["ros2", "bag", "play", given["bag"], "--clock", "100", "--rate", given["rate"]]
    command += ["--delay", str(DISCOVERY_S), "--disable-keyboard-controls"]
    return ExecuteProcess(cmd=command + ["--loop"] * (given["loop"].lower() == "true"), output="screen")


def recorder(given, namespace):
    prefix = f"/{namespace.strip('/')}/" if namespace.strip("/") else "/"
    command = ["ros2", "bag", "record", "--storage", "mcap", "--output", given["output"]]
    # On the bag's time, so that what is recorded lies beside the original.
    command += ["--use-sim-time"] * (given["use_sim_time"].lower() == "true")
    return ExecuteProcess(cmd=[*command, *(prefix + topic for topic in RECORDED)], output="screen")


def start(context):
    require_rosbag2()
    given = {name: LaunchConfiguration(name).perform(context) for name in ("bag", *ARGUMENTS)}
    play = player(given)
    failed = [fail("the node cannot be configured: see its log")]
    handlers = [
        OnStateTransition(goal_state="active", entities=[play]),
        OnStateTransition(start_state="configuring", goal_state="unconfigured", entities=failed),
        OnProcessExit(on_exit=finish),
    ]
    live = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(Path(__file__).with_name("live.launch.py"))),
        launch_arguments={"use_sim_time": given["use_sim_time"]}.items(),
    )
    record = (
        [recorder(given, context.launch_configurations.get("namespace", ""))] if given["output"] else []
    )
    return [*(RegisterEventHandler(handler) for handler in handlers), *record, live]


def generate_launch_description():
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    bag = DeclareLaunchArgument("bag", description="rosbag2 folder or file")
    return LaunchDescription([bag, *arguments, OpaqueFunction(function=start)])
