"""Tables of what a detector finds, trained again on the images of each row.

Each row's detector sees its own kind of images alone, in training and when it is judged: M3FD's six
classes, drawn 8:1:1 at random into scenes to train on, to choose the best epoch by, and to judge by. The
paper does not say which scenes it drew.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import yaml

from ivfusion_ros.config.parameters import make_config
from ivfusion_ros.detection.classes import M3FD_NAMES
from ivfusion_ros.errors import DataError, no_folder
from ivfusion_ros.evaluation.detection.find import DetectorUnderTest, find
from ivfusion_ros.evaluation.detection.results import Entry, judge
from ivfusion_ros.evaluation.detection.scenes import Scene, read_scenes, read_truth
from ivfusion_ros.evaluation.fusion.journal import Journal
from ivfusion_ros.evaluation.fusion.methods import FolderMethod
from ivfusion_ros.export.detector import export_detector
from ivfusion_ros.files import read_yaml, write_whole
from ivfusion_ros.images.encodings import to_rgb
from ivfusion_ros.images.files import read_image, write_image
from ivfusion_ros.images.pairs import images_by_stem
from ivfusion_ros.models import resolve_model
from ivfusion_ros.reproduce.job import Job, Outcome
from ivfusion_ros.reproduce.quality import check_training
from ivfusion_ros.reproduce.trained import trained_model
from ivfusion_ros.training.detector.config import DetectorConfig
from ivfusion_ros.training.detector.dataset import write_dataset
from ivfusion_ros.training.detector.kinds import Kind
from ivfusion_ros.training.detector.state import STATE
from ivfusion_ros.training.detector.trainer import DetectorTrainer
from ivfusion_ros.types import CAMERAS

if TYPE_CHECKING:
    from pathlib import Path

PARTS = ("train", "val", "test")
DRAWN = (8, 1, 1)
MEASURED = {"AP50": "ap50", "AP50:95": "ap50_95"}
"""Words of a column, and of an Entry and its classes."""


def detection(job: Job) -> Outcome:
    """Average precision in percent. Raises DataError where data were not given."""
    folder = job.data(job.table.data)
    check_training(job)
    own = {name: _model(job, name) for name in job.table.rows if _is_fused_here(job, name)}
    data = job.work / f"table_{job.table.number}" / "dataset"
    kinds = [*map(Kind, CAMERAS), *(Kind(str(path)) for path in own.values())]
    backend = job.networks.backend
    write_dataset([folder], data, kinds, None, backend, class_names=M3FD_NAMES, drawn=DRAWN)
    shown = {name: row.images for name, row in job.table.rows.items() if row.images}
    shown |= {name: path.stem for name, path in own.items()}
    for name, fused in job.given.fused.items():
        shown[name] = _key(name)
        _add_fused(data, shown[name], fused, folder)
    scenes, class_names = read_scenes(data, "test", job.paper.size.pairs or None)
    values = {}
    for name, kind in shown.items():
        entry = _judged(job, data, kind, scenes, class_names)
        values[name] = {measure: _value(entry, measure) for measure in job.table.columns.values()}
    return Outcome(values, _notes(job, len(scenes)))


def _is_fused_here(job: Job, name: str) -> bool:
    row = job.table.rows[name]
    return bool(row.train or row.model) and name not in job.given.fused


def _model(job: Job, name: str) -> Path:
    row = job.table.rows[name]
    return trained_model(job, row) if row.train else resolve_model(row.model, "fusion")


def _key(name: str) -> str:
    """A folder's name for a row that the user named."""
    return "fused_" + "".join(letter if letter.isalnum() else "_" for letter in name)


def _add_fused(data: Path, kind: str, fused: Path, source: Path) -> None:
    """Put a folder of fused images beside the other kinds of the data set, with the same boxes."""
    if not fused.is_dir():
        raise no_folder(fused, "with fused images")
    files, prefix = images_by_stem(fused), f"{source.resolve().name}_"
    for part in PARTS:
        target, labels = data / "images" / part / kind, data / "labels" / part
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted((data / "images" / part / "rgb").iterdir()):
            stem = path.stem.removeprefix(prefix)
            if stem not in files:
                raise DataError(f"{fused} has no image named {stem}; the detector needs one of each pair")
            write_image(target / path.name, to_rgb(read_image(files[stem])))
        shutil.copytree(labels / "rgb", labels / kind, dirs_exist_ok=True)


def _judged(job: Job, data: Path, kind: str, scenes: list[Scene], class_names: tuple[str, ...]) -> Entry:
    """Train, export and judge the detector of one kind of images."""
    config = make_config(DetectorConfig, job.paper.detector, "detector")
    run = data.parent / kind
    start = job.given.weights.get(config.detector)
    begun = (run / STATE).exists()
    trainer = DetectorTrainer(config, _view(data, kind), run, start=start, resume=begun)
    with job.hold() as stopped:
        trainer.fit(stopped.is_set)
    model, side = run / "detector.onnx", -(-config.image_size // 32) * 32
    export_detector(trainer.weights, model, (side, side))
    how = job.networks
    detector = DetectorUnderTest(
        str(model), class_names, backend=how.backend, precision=how.precision, threads=how.threads
    )
    method = FolderMethod(kind, data / "images" / "test" / kind)
    with Journal(run / "detections.jsonl", "detections") as journal:
        found = find(scenes, [method], detector, journal)
    detector.close()
    truths = [read_truth(item.scene, item.size) for item in found]
    return judge(truths, {kind: found}, class_names)[0]


def _view(data: Path, kind: str) -> Path:
    """A data.yaml of one kind of images, beside the whole one's."""
    content = read_yaml(data / "data.yaml")
    content |= {part: f"images/{part}/{kind}" for part in PARTS}
    path = data / f"{kind}.yaml"
    write_whole(path, yaml.safe_dump(content, sort_keys=False))
    return path


def _value(entry: Entry, measure: str) -> float | None:
    """Of one class, or the mean over those of the table: `AP50 person`, `AP50 all`; percent."""
    what, _, name = measure.partition(" ")
    known = {item.class_name: getattr(item, MEASURED[what]) for item in entry.classes}
    value = known[name] if name in known else _mean(known)
    return None if value is None else 100 * value


def _mean(known: dict[str, float | None]) -> float | None:
    values = [known[name] for name in ("person", "car", "bus")]
    if any(value is None for value in values):
        return None
    return sum(value for value in values if value is not None) / len(values)


def _notes(job: Job, scenes: int) -> tuple[str, ...]:
    config = make_config(DetectorConfig, job.paper.detector, "detector")
    begun = config.detector in job.given.weights
    start = "COCO's or your own weights" if begun else "random weights"
    more = "" if begun else f"; give --weights {config.detector}=FILE for the paper's start, COCO's weights"
    return (
        f"judged on {scenes} scenes, drawn at random, 8:1:1; the paper does not say which it drew",
        f"{config.detector} began from {start}{more}",
    )
