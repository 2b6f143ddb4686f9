"""The constant offset between two cameras' clocks, from the motion of the rig that both see.

Nothing of the cameras' geometry has to be known, and the modalities need not look alike: what is
compared is how each picture shifts as a whole while the rig turns. People and cars that move in front
of a still rig do not do: where they are seen depends on the unknown geometry as much as on the time.
"""

from ivfusion_ros.sync.time_offset.estimate import TimeOffset, TimeOffsetMonitor, estimate_time_offset
from ivfusion_ros.sync.time_offset.watch import TimeOffsetWatch, time_offset_advice

__all__ = [
    "TimeOffset",
    "TimeOffsetMonitor",
    "TimeOffsetWatch",
    "estimate_time_offset",
    "time_offset_advice",
]
