"""The stages of the matcher: training, and figures on held-out pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.calibrate.matcher import Matcher, matched_start
from ivfusion_ros.config.parameters import plain
from ivfusion_ros.errors import DataError
from ivfusion_ros.images.pairs import spread
from ivfusion_ros.training.fusion.data import read_luminance
from ivfusion_ros.training.fusion.split import split_folders, told
from ivfusion_ros.training.matcher.trainer import LAST, NETWORK, MatcherTrainer
from ivfusion_ros.training.matcher.views import random_motion, to_unit

if TYPE_CHECKING:
    from ivfusion_ros.images.pairs import PairPaths
    from ivfusion_ros.training.fusion.split import Split
    from ivfusion_ros.training.recipe.kinds import Result
    from ivfusion_ros.training.recipe.run import Context
    from ivfusion_ros.training.recipe.stages import MatcherStage

_FAILED_PX = 10.0
_GRID = 8


def train(context: Context) -> Result:
    """Train from the start, or on from where the run stopped."""
    config = context.stage.config
    split = _split(context, config)
    identity = split.identity()
    trainer = MatcherTrainer(
        config,
        split.training,
        context.folder,
        {"settings": plain(config), "data": identity},
        resume=(context.folder / LAST).exists(),
    )
    with context.hold() as stopped:
        trainer.fit(stopped.is_set)
    return {
        "weights": context.relative(context.folder / LAST),
        "network": NETWORK,
        "data": told(context.inputs.data, identity),
    }


def evaluate(context: Context) -> Result:
    """How far the places that a matcher finds put held-out pairs whose thermal image is warped at random.

    Of the pixels' mean distances to where they belong: the median, and the share of the pairs beyond 10 px
    of an image 640 px wide, those without a result among them.
    """
    config = context.stage.config
    learner = context.learner
    held = _split(context, learner).validation
    if not held:
        raise DataError("nothing is held out to judge the matcher by; give a larger validation_fraction")
    chosen = spread(held, config.limit or len(held))
    matcher = Matcher(context.take("of"))
    random = np.random.default_rng(config.seed)
    try:
        errors = [_error_px(pair, matcher, learner, random) for pair in chosen]
    finally:
        matcher.close()
    middle = float(np.median(errors))
    figures = {
        "pairs": len(errors),
        "median_px": round(middle, 2) if np.isfinite(middle) else None,
        "beyond_10_px": round(float(np.mean(np.array(errors) > _FAILED_PX)), 3),
    }
    return {"figures": figures, "figures_of": "held_out"}


def _split(context: Context, config: MatcherStage) -> Split:
    return split_folders(context.inputs.data, context.inputs.names, config)


def _error_px(
    pair: PairPaths, matcher: Matcher, config: MatcherStage, random: np.random.Generator
) -> float:
    thermal, visible = read_luminance(pair)[:2]
    size = visible.shape[1], visible.shape[0]
    unit = to_unit(size)
    warp = np.linalg.inv(unit) @ random_motion(config, size[0] / size[1], random) @ unit
    warped = np.asarray(cv2.warpPerspective(thermal, warp, size), np.uint8)
    found = matched_start([(warped, visible)], matcher)
    if found is None:
        return float("inf")
    places = np.stack(np.meshgrid(*(np.linspace(0, side - 1, _GRID) for side in size)), 2).reshape(-1, 1, 2)
    there = cv2.perspectiveTransform(cv2.perspectiveTransform(places, warp), found)
    return float(np.linalg.norm(there - places, axis=2).mean() * 640 / size[0])
