"""The ROS 2 face: the only files that import rclpy or message packages."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "fusion_node": ("FusionNode",),
        "buffers": ("describe_buffers",),
    },
)
