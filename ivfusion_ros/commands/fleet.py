"""`ivfusion fleet`: one replay over many recordings, on many machines."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from ivfusion_ros.commands.interruption import going_on_by_itself
from ivfusion_ros.commands.options import check_at_least, pipeline_config, write_json
from ivfusion_ros.errors import ConfigError, DataError
from ivfusion_ros.fleet import Fleet, Job, Replicas, Store, find_recordings

if TYPE_CHECKING:
    import argparse

log = logging.getLogger(__name__)

_NAMED = 5
"""Most failed recordings that are named on the console; the table has all."""


def run(options: argparse.Namespace) -> None:
    """Fuse what is not fused yet. Raises IvfusionError, also where some recordings failed."""
    check_at_least(options, threads=1, replicas=0)
    if not (options.piece_minutes == 0 or 1 <= options.piece_minutes < float("inf")):
        raise ConfigError(f"--piece-minutes is {options.piece_minutes:g}, expected 0, or at least 1")
    if options.disk_limit is not None and not options.disk_limit > 0:
        raise ConfigError(f"--disk-limit is {options.disk_limit:g} GB, expected more than 0")
    options.set = [
        *(f"{task}.threads={options.threads}" for task in ("fusion", "detection")),
        *options.set,
    ]
    job = Job(
        pipeline_config(options),
        options.thermal_topic,
        options.rgb_topic,
        options.compressed,
        options.detections,
        options.piece_minutes,
    )
    store = Store(options.out)
    recordings = find_recordings(options.source, store.root)
    fleet = Fleet(job, recordings, store)
    log.info(
        "%d recordings, %.1f GB: %d are done, %d are left; results in %s/%s",
        len(recordings), sum(item.size for item in recordings) / 1e9, len(fleet.done), len(fleet.left),
        store.url, fleet.folder,
    )  # fmt: skip
    if options.dry_run:
        for item in fleet.left:
            print(item.url)
        return
    with going_on_by_itself(f"{store.url}/{fleet.folder}"):
        failed = _fuse(fleet, job, store, options) if fleet.left else []
    if not fleet.left and not fleet.table_is_whole:
        fleet.write_table()
    write_json(options.json, _figures(fleet, failed, store))
    for row in failed[:_NAMED]:
        log.warning("failed: %s: %s", row["recording"], row["error"])
    if failed:
        raise DataError(
            f"{len(failed)} of {len(recordings)} recordings failed, {failed[0]['recording']} first: "
            f"{failed[0]['error']}; the same command tries them again"
        )


def _fuse(fleet: Fleet, job: Job, store: Store, options: argparse.Namespace) -> list[dict[str, Any]]:
    limit = None if options.disk_limit is None else int(options.disk_limit * 1e9)
    with Replicas(job, store.root, options.address, options.threads, options.replicas, limit) as replicas:
        log.info("%d replicas of %d CPUs", replicas.count, options.threads)
        rows = tqdm(fleet.fuse(replicas), total=len(fleet.left), unit="recording")
        return [row for row in rows if row["error"]]


def _figures(fleet: Fleet, failed: list[dict[str, Any]], store: Store) -> dict[str, Any]:
    return {
        "output": f"{store.url}/{fleet.folder}",
        "recordings": len(fleet.done) + len(fleet.left),
        "done_before": len(fleet.done),
        "failed": {row["recording"]: row["error"] for row in failed},
        "reasons": dict(Counter(str(row["error"]).partition(":")[0] for row in failed)),
    }
