"""Bags in (MCAP, sqlite3, ROS 1) and out (MCAP), without ROS."""

from ivfusion_ros.bags.files import STORAGES, is_bag
from ivfusion_ros.bags.mcap_file import EVER
from ivfusion_ros.bags.messages import deserialize, make, serialize, to_transforms
from ivfusion_ros.bags.reader import BagReader
from ivfusion_ros.bags.serializations import decode
from ivfusion_ros.bags.topics import BagTopic, Topics, choose_topics, transform_topics
from ivfusion_ros.bags.writer import NO_FOLDERS, BagWriter, check_bag_target

__all__ = [
    "EVER",
    "NO_FOLDERS",
    "STORAGES",
    "BagReader",
    "BagTopic",
    "BagWriter",
    "Topics",
    "check_bag_target",
    "choose_topics",
    "decode",
    "deserialize",
    "is_bag",
    "make",
    "serialize",
    "to_transforms",
    "transform_topics",
]
