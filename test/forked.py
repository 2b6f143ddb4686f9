"""Training commands in processes that can be killed, forked from one that has imported what they need."""

import multiprocessing
import os
import sys
import time
from functools import partial
from multiprocessing.context import ForkServerProcess

# Their imports take longer than the trainings of the tests.
import ivfusion_ros.commands.train
import ivfusion_ros.training.fusion.trainer
import ivfusion_ros.training.recipe.export_stages
import ivfusion_ros.training.recipe.fusion_stages
from ivfusion_ros.cli import main
from ivfusion_ros.networks import ALL_NETWORKS, RefineFuseLite
from ivfusion_ros.training.fusion.learner import Learner

NARROW = partial(RefineFuseLite, (4, 4, 4, 4))
"""refinefuse_lite with a fraction of its channels."""


def start(words: list[str], *, narrow: bool = False) -> ForkServerProcess:
    """`ivfusion WORDS`, silent; its exit status is the process's exitcode."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_run, args=(words, narrow))
    process.start()
    return process


class SlowLearner(Learner):
    """Whoever waits for a checkpoint to kill the process has the time of many steps."""

    def train(self, *arguments, **options):
        time.sleep(0.1)
        return super().train(*arguments, **options)


def _run(words: list[str], narrow: bool) -> None:
    ivfusion_ros.training.fusion.trainer.Learner = SlowLearner
    if narrow:
        ALL_NETWORKS["refinefuse_lite"] = NARROW
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    sys.exit(main(words))
