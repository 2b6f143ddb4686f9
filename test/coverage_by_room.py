"""Branch coverage of the last `make test` by room; processes that tests start are not counted."""

import json
import sys
from collections import defaultdict
from pathlib import Path

KEYS = ("covered_lines", "missing_lines", "covered_branches", "missing_branches")


def main(path: str) -> None:
    rooms: dict[str, list[int]] = defaultdict(lambda: [0] * len(KEYS))
    for file, content in json.loads(Path(path).read_text(encoding="utf-8"))["files"].items():
        _, room, *below = Path(file).parts
        for name in (room if below else "(top)", "total"):
            rooms[name] = [a + content["summary"][key] for a, key in zip(rooms[name], KEYS, strict=True)]
    print(f"{'room':14}{'lines':>10}{'branches':>10}{'covered':>10}")
    for name in sorted(rooms, key=lambda name: (name == "total", name)):
        lines, missing_lines, branches, missing_branches = rooms[name]
        missing = missing_lines + missing_branches
        share = 1 - missing / (lines + branches + missing)
        print(f"{name:14}{lines + missing_lines:10}{branches + missing_branches:10}{share:10.1%}")


if __name__ == "__main__":
    main(sys.argv[1])
