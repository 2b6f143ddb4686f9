"""What a soak finds fault with, and the bag that it replays."""

from pathlib import Path

import soak

from ivfusion_ros.bags import BagReader
from ivfusion_ros.bags.messages import to_frame
from ivfusion_ros.errors import ImageError

STEADY = [200.0, *[300.0] * 19]


def test_what_rises_or_is_not_told_of_is_a_fault() -> None:
    fine = soak.Outcome("a", 100, 99, memory_mib=STEADY, ages_ms=[80.0, 90.0] * 30)
    assert fine.faults() == []
    assert "| a | 100 | 99 | none | 85 / 90 / 90 | - | 200, 300, 300, 300 |" in fine.row()
    fine.cores = 0.834
    assert "| 85 / 90 / 90 | 0.83 | 200" in fine.row()
    rising = [300.0 + 10 * step for step in range(20)]
    assert soak.Outcome("a", 100, 99, memory_mib=rising).faults() == ["memory rose by 150 MiB"]
    assert soak.Outcome("a", 100, 99, ages_ms=[80.0] * 30 + [160.0] * 30).faults() == [
        "outputs grew 2.0 times as old"
    ]
    assert soak.Outcome("a", 100, 99, unaccounted=1).faults() == ["1 pairs are not accounted for"]
    assert soak.Outcome("a", 100).faults() == ["nothing came out"]


def test_the_bag_has_gaps_and_damage_as_told(tmp_path: Path) -> None:
    told = soak.write_bag(tmp_path / "in.mcap", 200)
    found = {"rgb": 0, "thermal": 0}
    with BagReader(tmp_path / "in.mcap") as reader:
        for topic, _, data in reader.messages():
            try:
                to_frame(data, topic.type, None)
            except ImageError:
                assert topic.name.startswith("/rgb")
                continue
            found[topic.name.split("/")[1]] += 1
    assert found == told == {"rgb": 198, "thermal": 198}
