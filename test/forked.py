"""Training commands in processes that can be killed, forked from one that has imported what they need."""

import multiprocessing
import os
import sys
import time
from functools import partial
from multiprocessing.context import ForkServerProcess

# Their imports take longer than the trainings of the tests.
import captures

import ivfusion_ros.commands.train
import ivfusion_ros.training.fusion.trainer
import ivfusion_ros.training.recipe.export_stages
import ivfusion_ros.training.recipe.fusion_stages
from ivfusion_ros.cli import main
from ivfusion_ros.networks import ALL_NETWORKS, RefineFuseLite
from ivfusion_ros.training.fusion.learner import Learner

NARROW = partial(RefineFuseLite, (4, 4, 4, 4))
"""refinefuse_lite with a fraction of its channels."""


def start(words: list[str], *, narrow: bool = False, step_s: float = 0.1) -> ForkServerProcess:
    """`ivfusion WORDS`, silent; its exit status is the process's exitcode. It has this process's captures.

    step_s: seconds that a training sleeps before each step once it has a checkpoint, so that whoever waits
    for that to kill the process has the time.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_run, args=(words, narrow, step_s, captures.captured()))
    process.start()
    return process


class SlowLearner(Learner):
    step_s = 0.0

    def train(self, *arguments, **options):
        if self.step >= self.config.save_every:
            time.sleep(self.step_s)
        return super().train(*arguments, **options)


def _run(words: list[str], narrow: bool, step_s: float, captured: captures.Captured) -> None:
    SlowLearner.step_s = step_s
    ivfusion_ros.training.fusion.trainer.Learner = SlowLearner
    if narrow:
        ALL_NETWORKS["refinefuse_lite"] = NARROW
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    with captures.shared_captures(captured):
        sys.exit(main(words))
