"""Parameters of the live node: those of the pipeline, and what only a node needs to know."""

from __future__ import annotations

from dataclasses import dataclass, field

from ivfusion_ros.config.parameters import parameter
from ivfusion_ros.config.pipeline import PipelineConfig


@dataclass(frozen=True)
class NodeConfig:
    """What only the live node needs to know; `ivfusion replay` skips this section of a file."""

    thermal_transport: str = parameter(
        "raw",
        "raw: thermal/image_raw; compressed: thermal/image_raw/compressed; compressedDepth: "
        "thermal/image_raw/compressedDepth, as PNG",
        choices=("raw", "compressed", "compressedDepth"),
    )
    rgb_transport: str = parameter(
        "raw", "raw: rgb/image_raw; compressed: rgb/image_raw/compressed", choices=("raw", "compressed")
    )
    image_buffers: str = parameter(
        "cpu",
        "memory in which raw images are received; cuda: a GPU's where the sender has them there, from "
        "ROS 2 Lyrical on (rosidl::Buffer, needs cuda_buffer_backend)",
        choices=("cpu", "cuda"),
    )
    silent_after_s: float = parameter(
        1.0,
        "a camera is silent when the other one's stamps have advanced by this without a frame of it, s",
        minimum=0.05,
        maximum=3600.0,
        live=True,
    )
    when_silent: str = parameter(
        "fallback",
        "while a camera is silent; fallback: publish the other one's images (mode rgb_only or "
        "thermal_only); silence: publish nothing",
        choices=("fallback", "silence"),
        live=True,
    )
    watch_time_offset: bool = parameter(
        True,
        "estimate the offset between the cameras' clocks for /diagnostics while the rig moves; takes at "
        "most 2 % of a CPU core",
    )
    lazy: bool = parameter(
        True,
        "while nobody listens to an output, leave images alone, and after a second unsubscribe from them; "
        "look for objects only while somebody listens to what has them or to the status; nor is the "
        "clocks' offset estimated at rest",
        live=True,
    )
    autostart: bool = parameter(False, "configure and activate at startup")


@dataclass(frozen=True)
class FusionNodeConfig(PipelineConfig):
    """All parameters of the node."""

    node: NodeConfig = field(default_factory=NodeConfig)
