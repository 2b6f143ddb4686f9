"""Pairs with labels -> a data set in the form that ultralytics trains on.

    OUT/images/{train,val}/KIND/FOLDER_STEM.png   8-bit RGB, of the RGB camera's size
    OUT/labels/{train,val}/KIND/FOLDER_STEM.txt   class, centre x and y, width, height, over the size
    OUT/data.yaml                                 written last: a folder without it is not complete

KIND is thermal, rgb, or the name of a fusion network. All kinds of one pair have the same boxes.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import yaml
from tqdm import tqdm

from ivfusion_ros.config.parameters import load_config
from ivfusion_ros.config.pipeline import PipelineConfig
from ivfusion_ros.errors import ConfigError, DataError
from ivfusion_ros.files import write_whole
from ivfusion_ros.images.draw import annotate, contact_sheet
from ivfusion_ros.images.encodings import to_rgb
from ivfusion_ros.images.files import read_image, write_image
from ivfusion_ros.images.labels import read_boxes
from ivfusion_ros.images.pairs import PairPaths, find_pairs, spread
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.training.detector.boxes import CLASS_NAMES, JOINING_SCORE, Hints, boxes_of
from ivfusion_ros.training.detector.split import hold_out_scenes, share_of
from ivfusion_ros.types import CAMERAS, Boxes, Detections, Frame, FramePair, FusionResult, Image

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ivfusion_ros.pipeline.pipeline import Pipeline
    from ivfusion_ros.training.detector.teacher import Teacher

Part = Literal["train", "val"]

_WITHOUT_WEIGHTS = "mst"
"""What the teacher looks at beside the cameras' images, the same whatever kinds are asked for."""

_SHOWN = 12
"""Pairs on the preview."""


@dataclass(frozen=True)
class Kind:
    """One kind of images: thermal, rgb, or a fusion network by name or file."""

    model: str
    share: float = 1.0
    """Of the training pairs; the held-out ones are always there in every kind."""

    @property
    def name(self) -> str:
        """Of its folder."""
        return Path(self.model).stem

    @classmethod
    def parse(cls, text: str) -> Kind:
        """`NAME` or `NAME:SHARE`. Raises ConfigError."""
        model, colon, share = text.rpartition(":")
        if not colon:
            return cls(text)
        try:
            value = float(share)
        except ValueError:
            value = 0.0
        if not 0 < value <= 1:
            raise ConfigError(
                f"{text!r} asks for a share of {share!r}, expected one above 0 up to 1, as in mst:0.5"
            )
        return cls(model, value)


@dataclass(frozen=True)
class Counts:
    """What a part of the data set holds."""

    pairs: int
    images: int
    objects: dict[str, int]
    """By class name; an object counts once, however many kinds show it."""


@dataclass(frozen=True)
class _Scene:
    pair: PairPaths
    folder: str
    part: Part
    kinds: tuple[Kind, ...]

    @property
    def stem(self) -> str:
        return f"{self.folder}_{self.pair.stem}"


def write_dataset(
    folders: Sequence[Path],
    output: Path,
    kinds: Sequence[Kind],
    teacher: Teacher | None,
    backend: str = "auto",
) -> dict[Part, Counts]:
    """Write what is not there yet; returns what is there then, by part.

    folders: each with thermal/, rgb/ and labels/ (MSRS's class ids). A folder without labels/ takes the
    teacher's confident boxes as they are. Raises DataError, ConfigError, ModelError or BackendError.
    """
    _check(kinds)
    scenes = list(_scenes(folders, kinds))
    bare = [scene.pair.thermal for scene in scenes if scene.pair.labels is None]
    if teacher is None and bare:
        raise DataError(
            f"no image in labels/: {len(bare)} pairs, the first is {bare[0]}; give a detector as --teacher "
            "to label them"
        )
    with ExitStack() as stack:
        pipelines = {
            name: stack.enter_context(_pipeline(model, backend))
            for name, model in _networks(kinds, teacher).items()
        }
        for scene in tqdm(scenes, unit="pair"):
            _write_scene(scene, output, pipelines, teacher)
    _preview(scenes, output)
    return _finish(scenes, output)


def _check(kinds: Sequence[Kind]) -> None:
    names = [kind.name for kind in kinds]
    if len(set(names)) < len(names):
        raise ConfigError(f"--images has {', '.join(names)}; expected each kind once")


def _scenes(folders: Sequence[Path], kinds: Sequence[Kind]) -> Iterator[_Scene]:
    for folder in folders:
        name = folder.resolve().name
        training, held = hold_out_scenes(find_pairs(folder))
        shown = {kind: {pair.stem for pair in share_of(training, kind.share)} for kind in kinds}
        for pair in training:
            chosen = tuple(kind for kind in kinds if pair.stem in shown[kind])
            if chosen:
                yield _Scene(pair, name, "train", chosen)
        for pair in held:
            yield _Scene(pair, name, "val", tuple(kinds))


def _networks(kinds: Sequence[Kind], teacher: Teacher | None) -> dict[str, str]:
    networks = {kind.name: kind.model for kind in kinds if kind.name not in CAMERAS}
    if teacher is not None or not networks:
        networks[_WITHOUT_WEIGHTS] = _WITHOUT_WEIGHTS
    return networks


def _pipeline(model: str, backend: str) -> Pipeline:
    values = {"fusion.model": model, "fusion.backend": backend, "detection.model": ""}
    return build_pipeline(load_config(PipelineConfig, None, values))


def _files(output: Path, scene: _Scene, kind: Kind) -> tuple[Path, Path]:
    name = f"{scene.part}/{kind.name}/{scene.stem}"
    return output / "images" / f"{name}.png", output / "labels" / f"{name}.txt"


def _write_scene(
    scene: _Scene, output: Path, pipelines: dict[str, Pipeline], teacher: Teacher | None
) -> None:
    files = {kind.name: _files(output, scene, kind) for kind in scene.kinds}
    missing = {name for name, (image, _) in files.items() if not image.exists()}
    unlabelled = any(not labels.exists() for _, labels in files.values())
    if not missing and not unlabelled:
        return
    wanted = missing - set(CAMERAS) | ({_WITHOUT_WEIGHTS} if unlabelled and teacher is not None else set())
    results = _fuse(scene.pair, {name: pipelines[name] for name in wanted or list(pipelines)[:1]})
    some = next(iter(results.values()))
    images = {"thermal": to_rgb(some.thermal), "rgb": some.rgb}
    images |= {name: result.fused for name, result in results.items()}
    for name in missing:
        files[name][0].parent.mkdir(parents=True, exist_ok=True)
        write_image(files[name][0], images[name])
    if unlabelled:
        text = _as_text(*_label(scene.pair, images, teacher), images["rgb"].shape[:2])
        for _, path in files.values():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, text)


def _fuse(pair: PairPaths, pipelines: dict[str, Pipeline]) -> dict[str, FusionResult]:
    thermal, rgb = Frame(read_image(pair.thermal), 0), Frame(read_image(pair.rgb), 0)
    results = {}
    for name, pipeline in pipelines.items():
        pipeline.reset()
        results[name] = pipeline.process(FramePair(thermal, rgb))
    return results


def _label(
    pair: PairPaths, images: dict[str, Image], teacher: Teacher | None
) -> tuple[Boxes, npt.NDArray[np.int64]]:
    hints: dict[int, Hints] = {}
    if teacher is not None:
        hints = teacher(images[name] for name in (*CAMERAS, _WITHOUT_WEIGHTS))
    if pair.labels is None:
        sure = {class_id: hint.boxes[hint.scores >= JOINING_SCORE] for class_id, hint in hints.items()}
        class_ids = np.concatenate([np.full(len(boxes), class_id) for class_id, boxes in sure.items()])
        return np.concatenate(list(sure.values())), class_ids.astype(np.int64)
    labels = read_image(pair.labels)
    if labels.shape != images["rgb"].shape[:2] or labels.dtype != np.uint8:
        raise DataError(
            f"{pair.labels} is {labels.dtype} {labels.shape}, expected class ids as uint8 of the RGB "
            f"image's shape, {images['rgb'].shape[:2]}"
        )
    return boxes_of(np.asarray(labels, np.uint8), hints)


def _as_text(boxes: Boxes, class_ids: npt.NDArray[np.int64], shape: tuple[int, ...]) -> str:
    scale = np.array([shape[1], shape[0]] * 2, np.float32)
    centres = (
        np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1) / scale
    )
    return "".join(
        " ".join([str(class_id), *(f"{value:.6f}" for value in row)]) + "\n"
        for class_id, row in zip(class_ids.tolist(), centres.tolist(), strict=True)
    )


def _preview(scenes: Sequence[_Scene], output: Path) -> None:
    pictures, titles = [], []
    for scene in spread(scenes, _SHOWN):
        for kind in scene.kinds[:2]:
            image_path, labels = _files(output, scene, kind)
            image = to_rgb(read_image(image_path))
            boxes, class_ids = read_boxes(labels, (image.shape[1], image.shape[0]))
            objects = Detections(boxes, np.ones(len(boxes), np.float32), class_ids, CLASS_NAMES)
            pictures.append(annotate(image, objects))
            titles.append(f"{scene.part}/{kind.name}/{scene.stem}")
    write_image(output / "preview.png", contact_sheet(pictures, titles, 4, 480))


def _finish(scenes: Sequence[_Scene], output: Path) -> dict[Part, Counts]:
    counts: dict[Part, Counts] = {}
    for part in ("train", "val"):
        inside = [scene for scene in scenes if scene.part == part]
        classes: Counter[str] = Counter()
        for scene in inside:
            _, class_ids = read_boxes(_files(output, scene, scene.kinds[0])[1], (1, 1))
            classes.update(CLASS_NAMES[class_id] for class_id in class_ids)
        images = sum(len(scene.kinds) for scene in inside)
        counts[part] = Counts(len(inside), images, {name: classes[name] for name in CLASS_NAMES})
    data = {
        "path": str(output.resolve()),
        "train": "images/train",
        "val": "images/val",
        "names": dict(enumerate(CLASS_NAMES)),
    }
    write_whole(output / "data.yaml", yaml.safe_dump(data, sort_keys=False))
    return counts
