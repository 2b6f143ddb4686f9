"""What a user may name as a source."""

from __future__ import annotations

EXPECTED = (
    "bags (rosbag2 folders, .mcap, .db3 or .bag files), a film or folder of thermal images and one of RGB "
    "images, or the folder of a data set"
)
