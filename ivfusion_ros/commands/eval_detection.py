"""`ivfusion eval-detection`: what a detector finds in thermal, RGB and fused images of the same scenes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ivfusion_ros.commands.interruption import going_on_by_itself
from ivfusion_ros.commands.options import check_at_least, write_json
from ivfusion_ros.commands.result_pictures import ResultPictures
from ivfusion_ros.commands.threshold import check_enough, check_own_file, set_threshold, set_thresholds
from ivfusion_ros.detection.classes import CLASS_NAMES, read_class_map
from ivfusion_ros.errors import ConfigError, DataError
from ivfusion_ros.evaluation.detection.by_scene import scene_rows
from ivfusion_ros.evaluation.detection.calibration import (
    Calibration,
    calibration,
    pooled,
    write_calibration,
)
from ivfusion_ros.evaluation.detection.curves import write_curves
from ivfusion_ros.evaluation.detection.find import CameraMethod, DetectorUnderTest, classes_of, find
from ivfusion_ros.evaluation.detection.gain import gains
from ivfusion_ros.evaluation.detection.results import Entry, complete, figures, judge, page, rows, subsets
from ivfusion_ros.evaluation.detection.scenes import Scene, of_present_classes, read_scenes
from ivfusion_ros.evaluation.detection.sheet import write_sheet
from ivfusion_ros.evaluation.fusion.journal import Journal
from ivfusion_ros.evaluation.fusion.methods import Method, make_methods
from ivfusion_ros.evaluation.fusion.tables import finite, to_csv
from ivfusion_ros.files import alone_in, make_folder, write_whole
from ivfusion_ros.models import resolve_model
from ivfusion_ros.report import check_renderer, objects_page, write_page
from ivfusion_ros.types import CAMERAS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

log = logging.getLogger(__name__)


def run(options: argparse.Namespace) -> None:
    """Detect, then write tables and pictures. Raises IvfusionError."""
    with alone_in(options.out):
        _evaluate(options)


def _evaluate(options: argparse.Namespace) -> None:
    check_at_least(options, limit=1, rows=1, threads=0)
    if options.html:
        check_renderer()
    path = resolve_model(options.detector, "detection")
    if options.set_threshold is not None:
        check_own_file(path)
    scenes, class_names = _scenes(options, classes_of(path))
    methods = _methods(options, scenes)
    measured = options.set_threshold == []
    if measured:
        check_enough(len(scenes) * len(methods))
    elif options.set_threshold:
        set_thresholds(path, classes_of(path), options.set_threshold)
    detector = DetectorUnderTest(
        options.detector,
        class_names,
        backend=options.backend,
        precision=options.precision,
        threads=options.threads,
        tiles=options.tiles,
    )
    make_folder(options.out)
    with (
        going_on_by_itself(options.out),
        Journal(options.out / "detections.jsonl", "detections") as journal,
    ):
        results = find(scenes, methods, detector, journal)
    detector.close()
    truths, found, skipped = complete(results)
    entries = judge(truths, found, class_names)
    added = gains(truths, found, class_names, subsets(found))
    write_sheet(
        options.out / "misses.png", truths, found, methods, class_names, options.rows, detector.thresholds
    )
    scored = {name: calibration(truths, items) for name, items in found.items()}
    pictures = [*_plot(options.out, entries, scored), "misses.png"]
    write_whole(options.out / "results.csv", to_csv(rows(entries)))
    write_whole(options.out / "results.md", page(entries, detector, skipped, pictures, scored, added))
    pairs = [scene.pair for scene in scenes]
    by_scene = scene_rows(truths, found, class_names, detector.thresholds)
    numbers = finite(figures(entries, methods, detector, skipped, scored, added, by_scene, pairs))
    write_json(options.out / "results.json", numbers)
    write_json(options.json, numbers)
    if options.html:
        write_page(options.html, objects_page(options.out.name, numbers, ResultPictures(pairs, methods)))
        log.info("page: %s", options.html)
    print(page(entries, detector, skipped, (), scored, added))
    log.info("evaluated %d scenes, left out %d: %s", len(truths), len(scenes) - len(truths), options.out)
    if measured:
        set_threshold(detector.path, pooled(list(scored.values())))


def _scenes(options: argparse.Namespace, known: tuple[str, ...]) -> tuple[list[Scene], tuple[str, ...]]:
    """Those of --data with the objects of classes that the detector knows, and these classes.

    known: () for a detector that does not say; it is taken to know the data set's.
    """
    class_map = read_class_map(options.classes, known or CLASS_NAMES) if known or options.classes else None
    found = read_scenes(options.data, options.part, options.limit, class_map, options.camera)
    return of_present_classes(*found)


def _methods(options: argparse.Namespace, scenes: Sequence[Scene]) -> list[Method]:
    shared = [camera for camera in CAMERAS if all(camera in scene.cameras for scene in scenes)]
    if not shared:
        raise DataError(
            f"{options.data} has scenes of the thermal and others of the RGB camera alone; judge each "
            "camera's folder by itself"
        )
    if options.model and len(shared) < len(CAMERAS):
        raise DataError(f"{options.data} has no pairs to fuse, only {shared[0]} images; leave out --model")
    cameras: list[Method] = [CameraMethod(camera) for camera in shared]
    others = make_methods(
        options.model,
        options.fused,
        backend=options.backend,
        precision=options.precision,
        threads=options.threads,
    )
    for method in others:
        if method.label in CAMERAS:
            raise ConfigError(f"{method.label} is always evaluated; name yours with NAME=FILE_OR_FOLDER")
    return [*cameras, *others]


def _plot(folder: Path, entries: list[Entry], scored: dict[str, Calibration]) -> list[str]:
    try:
        write_curves(folder / "curves.png", entries)
        write_calibration(folder / "calibration.png", scored)
    except ImportError as error:
        log.warning("no curves, they need matplotlib (%s); run: pip install matplotlib", error)
        return []
    return ["curves.png", "calibration.png"]
