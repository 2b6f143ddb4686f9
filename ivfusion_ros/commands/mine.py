"""`ivfusion mine`: moments of a fleet's recordings that are worth a label, as a data set."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tqdm import tqdm

from ivfusion_ros.commands.interruption import going_on_by_itself
from ivfusion_ros.commands.options import check_at_least
from ivfusion_ros.commands.skipped import Skipped
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.files import alone_in
from ivfusion_ros.fleet import Miner, MineSettings, open_results

if TYPE_CHECKING:
    import argparse

log = logging.getLogger(__name__)


def run(options: argparse.Namespace) -> None:
    """Write the data set. Raises IvfusionError, also where some recordings failed."""
    check_at_least(options, most=1)
    if not 0 < options.every < float("inf"):
        raise ConfigError(f"--every is {options.every:g}, expected seconds above 0")
    if not 0 < options.sure <= 1:
        raise ConfigError(f"--sure is {options.sure:g}, expected a score above 0 up to 1")
    results = open_results(options.dest, ("mine", options.dest, "--out", str(options.out)))
    settings = MineSettings(options.every, options.most, options.sure)
    skipped, count = Skipped("recordings"), 0
    with alone_in(options.out), going_on_by_itself(options.out):
        miner = Miner(results, options.out, settings)
        left = miner.left()
        searched = len(results.moments())
        if missing := results.without_moments():
            log.warning("%s", missing)
        for row in tqdm(left, unit="recording"):
            with skipped.costs_one(row["recording"]):
                count += miner.mine(row)
    log.info(
        "%d moments of %d recordings, %d were there: %s; correct its boxes/, then train on it",
        count, len(left) - skipped.skipped, searched - len(left), options.out,
    )  # fmt: skip
    skipped.end()
