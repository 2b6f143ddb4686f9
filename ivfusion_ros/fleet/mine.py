"""Moments of a fleet's recordings as a data set to label, in the form that trainings read.

OUT/thermal/STEM.png, OUT/rgb/STEM.png   8 bits, in one view; STEM: the result's folder, the pair's number
OUT/boxes/STEM.txt                       what the detector found in any of the images: to be corrected
OUT/classes.txt                          names of the numbers in boxes/
OUT/provenance/RECORDING.csv             of each image where it is from, and why; written last
OUT/mined.json                           all that decided it
"""

from __future__ import annotations

import csv
import io
import json
import logging
import threading
import zlib
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ivfusion_ros.detection import Detector
from ivfusion_ros.errors import DataError
from ivfusion_ros.files import make_folder, scratch_folder, write_whole
from ivfusion_ros.fleet.job import Job
from ivfusion_ros.fleet.moments import MOMENTS, read_moments
from ivfusion_ros.fleet.recordings import bring, find_recordings
from ivfusion_ros.fleet.work import replaying
from ivfusion_ros.fleet.worth import looked_at, together, worth_of
from ivfusion_ros.images.encodings import to_rgb
from ivfusion_ros.images.files import write_image
from ivfusion_ros.images.labels import boxes_text
from ivfusion_ros.pipeline import load_networks

if TYPE_CHECKING:
    from ivfusion_ros.fleet.mine_settings import MineSettings
    from ivfusion_ros.fleet.moments import Moment
    from ivfusion_ros.fleet.results import Results
    from ivfusion_ros.types import FusionResult

log = logging.getLogger(__name__)

SETTINGS = "mined.json"
PROVENANCE = "provenance"


class Miner:
    """Takes one recording after the other; what is in the data set stays there."""

    def __init__(self, results: Results, output: Path, settings: MineSettings) -> None:
        """Raises DataError where the fleet had no detector, or the data set is of other settings."""
        description = results.description()
        self._job = Job.described(description)
        if self._job.models != description.get("models"):
            log.warning("the models of %s are not those here; pictures may differ", results.job)
        networks = load_networks(self._job.config)
        if networks.detection is None:
            raise DataError(
                f"{results.store.url}/{results.job} was fused without a detector, so nothing tells which "
                "moments are worth a label; run `ivfusion fleet` with one"
            )
        self._detector = Detector(networks.detection, self._job.config.detection)
        # The tables have what it found in the fused images.
        alone = replace(self._job.config.detection, model="")
        self._config = replace(self._job.config, detection=alone)
        self._networks = networks._replace(detection=None)
        self._results, self._output, self._settings = results, output, settings
        self._begin()

    def left(self) -> list[dict[str, Any]]:
        """Rows of recordings that have a table and are not in the data set."""
        there = {PurePosixPath(name).parent.name for name in self._results.moments()}
        rows = [row for row in self._results.fused if _name(row) in there]
        return [row for row in rows if not self._provenance(row).exists()]

    def mine(self, row: dict[str, Any]) -> int:
        """Take the moments of a recording into the data set; how many. Raises IvfusionError, OSError."""
        content = self._results.store.read(f"{row['folder']}/{MOMENTS}") or b""
        moments = read_moments(content, self._detector.class_names)
        wanted = looked_at(moments, self._settings.every_s, self._settings.sure)
        with scratch_folder("ivfusion-mine") as scratch:
            recording = find_recordings([str(row["recording"])])[0]
            if recording.key != row["key"]:
                raise DataError("it has changed since it was fused; run the same `ivfusion fleet` again")
            kept = _Kept(scratch / "kept", self._settings.most)
            path = bring(recording, scratch)
            job = replace(self._job, config=self._config)
            with replaying(path, job, self._networks) as (replay, pipeline):
                for result in replay.results(pipeline, threading.Event()):
                    if (moment := wanted.get(result.stamp_ns)) is not None:
                        self._look(row, moment, result, kept)
            kept.move_to(self._output)
        write_whole(self._provenance(row), _as_csv(kept.rows))
        return len(kept.rows)

    def _look(self, row: dict[str, Any], moment: Moment, result: FusionResult, kept: _Kept) -> None:
        thermal, rgb = self._detector(to_rgb(result.thermal)), self._detector(result.rgb)
        worth = worth_of(moment, thermal, rgb, self._settings.sure)
        if not worth.reasons:
            return
        stem = f"{_name(row)}_{moment.pair:06}"
        objects = together([moment.objects, thermal, rgb])
        provenance = {
            "stem": stem,
            "recording": row["recording"],
            "key": row["key"],
            "job": self._results.job,
            "pair": moment.pair,
            "stamp_ns": moment.stamp_ns,
            "brightness": round(moment.brightness, 1),
            "reasons": " ".join(worth.reasons),
            "disagreements": worth.disagreements,
            "middling": worth.middling,
            "faults": " ".join(worth.faults),
            "in_fused": len(moment.objects),
            "in_thermal": len(thermal),
            "in_rgb": len(rgb),
        }
        text = boxes_text(objects.boxes_xyxy, objects.class_ids, result.size)
        kept.add(worth.strength, provenance, result, text)

    def _provenance(self, row: dict[str, Any]) -> Path:
        return self._output / PROVENANCE / f"{_name(row)}.csv"

    def _begin(self) -> None:
        for name in ("thermal", "rgb", "boxes", PROVENANCE):
            make_folder(self._output / name)
        settings = json.dumps({"job": self._results.job, **asdict(self._settings)}, indent=2) + "\n"
        path = self._output / SETTINGS
        if path.exists() and path.read_text() != settings:
            raise DataError(
                f"{self._output} has what was mined of another job or with other settings ({path}); name "
                "another folder"
            )
        write_whole(self._output / "classes.txt", "\n".join(self._detector.class_names))
        write_whole(path, settings)


class _Kept:
    """The strongest moments so far, their files in a folder."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder, self._most = folder, most
        self._ranked: list[tuple[tuple[int, int], dict[str, Any]]] = []
        for name in ("thermal", "rgb", "boxes"):
            make_folder(folder / name)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """In order of time."""
        return sorted((row for _, row in self._ranked), key=lambda row: int(row["pair"]))

    def add(self, strength: int, row: dict[str, Any], result: FusionResult, text: str) -> None:
        """Take a moment, unless all that are kept are stronger."""
        stem = row["stem"]
        # Of equals, any: those at the beginning are no better.
        rank = strength, zlib.crc32(stem.encode())
        if len(self._ranked) >= self._most and rank < self._ranked[-1][0]:
            return
        self._ranked = sorted([*self._ranked, (rank, row)], key=lambda item: item[0], reverse=True)
        write_image(self._folder / "thermal" / f"{stem}.png", result.thermal)
        write_image(self._folder / "rgb" / f"{stem}.png", result.rgb)
        (self._folder / "boxes" / f"{stem}.txt").write_text(text)
        for _, dropped in self._ranked[self._most :]:
            for path in self._folder.glob(f"*/{dropped['stem']}.*"):
                path.unlink()
        del self._ranked[self._most :]

    def move_to(self, output: Path) -> None:
        """Boxes first: an image without them is a scene without objects."""
        for name in ("boxes", "thermal", "rgb"):
            for path in sorted((self._folder / name).iterdir()):
                write_whole(output / name / path.name, path.read_bytes())


def _name(row: dict[str, Any]) -> str:
    return PurePosixPath(str(row["folder"])).name


def _as_csv(rows: list[dict[str, Any]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]) if rows else ["stem"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()
