"""Scenes with labels -> a data set in the form that ultralytics trains on.

    OUT/images/{train,val,test}/KIND/FOLDER_STEM.png   8-bit RGB, of the RGB camera's size if there is one
    OUT/labels/{train,val,test}/KIND/FOLDER_STEM.txt   class, centre x and y, width, height, over the size
    OUT/data.yaml                                 written last: a folder without it is not complete

KIND is thermal, rgb, or the name of a fusion network. RGB may be in smoke, alone or fused: NAME+haze. All
kinds of one scene have the same boxes. A scene that one camera alone saw is there in that camera's kinds.
"""

from __future__ import annotations

import logging
import os
import zlib
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
import yaml
from tqdm import tqdm

from ivfusion_ros.config.parameters import load_config
from ivfusion_ros.config.pipeline import PipelineConfig
from ivfusion_ros.detection.classes import CLASS_NAMES, usual_map
from ivfusion_ros.detection.given import Account
from ivfusion_ros.errors import ConfigError, DataError
from ivfusion_ros.files import write_whole
from ivfusion_ros.images.draw import annotate, narrowed, scaled
from ivfusion_ros.images.encodings import to_rgb
from ivfusion_ros.images.files import read_image, write_image
from ivfusion_ros.images.labels import boxes_text, read_boxes
from ivfusion_ros.images.names import RUN_GAP
from ivfusion_ros.images.pairs import spread
from ivfusion_ros.images.sheet import contact_sheet
from ivfusion_ros.models import resolve_model
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.sources.scenes import Scene, find_scenes
from ivfusion_ros.training.detector.haze import with_haze
from ivfusion_ros.training.detector.labelling import label
from ivfusion_ros.training.detector.split import PARTS, draw_scenes, hold_out_scenes, share_of
from ivfusion_ros.types import (
    CAMERAS,
    CameraName,
    Detections,
    Frame,
    FramePair,
    FusionResult,
    Image,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ivfusion_ros.detection.classes import ClassMap
    from ivfusion_ros.detection.given import Objects
    from ivfusion_ros.pipeline.pipeline import Pipeline
    from ivfusion_ros.training.detector.teacher import Teacher

log = logging.getLogger(__name__)

Part = Literal["train", "val", "test"]

_WITHOUT_WEIGHTS = "mst"
"""What the teacher looks at beside the cameras' images, the same whatever kinds are asked for."""

_NEAR = f"within {RUN_GAP} frame numbers of a held-out one"
_NO_SHARE = "not in the share of any kind of images"
_UNSEEN = "not seen by the cameras that are asked for"
"""Rules that leave scenes out."""

_HAZE = "+haze"

_SHOWN = 12
"""Pairs on the preview."""
_CELL_WIDTH = 480
"""Of its images, pixels."""


@dataclass(frozen=True)
class Kind:
    """One kind of images: thermal, rgb, or a fusion network by name or file."""

    model: str
    share: float = 1.0
    """Of the training pairs; the held-out ones are always there in every kind."""
    haze: bool = False
    """Whether the RGB image, alone or fused, is in smoke."""

    @property
    def name(self) -> str:
        """Of its folder."""
        return Path(self.model).stem + (_HAZE if self.haze else "")

    @classmethod
    def parse(cls, text: str) -> Kind:
        """`NAME` or `NAME:SHARE`; of rgb and networks, `NAME+haze` too. Raises ConfigError."""
        model, colon, share = text.rpartition(":")
        if not colon:
            model, share = text, "1"
        if not model:
            raise ConfigError(
                f"{text!r} names no kind of images, expected thermal, rgb or a fusion network"
            )
        if "," in model and not Path(model).exists():
            raise ConfigError(f"{text!r} names no kind of images; several are apart by spaces: thermal rgb")
        try:
            value = float(share)
        except ValueError:
            value = 0.0
        if not 0 < value <= 1:
            raise ConfigError(
                f"{text!r} asks for a share of {share!r}, expected one above 0 up to 1, as in mst:0.5"
            )
        haze = model.endswith(_HAZE)
        if model == "thermal" + _HAZE:
            raise ConfigError(
                f"{text!r}: thermal images do not show smoke; expected rgb{_HAZE} or NAME{_HAZE}"
            )
        return cls(model.removesuffix(_HAZE), value, haze)


@dataclass(frozen=True)
class Counts:
    """What a part of the data set holds."""

    pairs: int
    images: int
    objects: dict[str, int]
    """By class name; an object counts once, however many kinds show it."""


@dataclass(frozen=True)
class _Item:
    scene: Scene
    folder: str
    part: Part
    kinds: tuple[Kind, ...]

    @property
    def stem(self) -> str:
        return f"{self.folder}_{self.scene.stem}"


def write_dataset(
    folders: Sequence[Path],
    output: Path,
    kinds: Sequence[Kind],
    teacher: Teacher | None,
    backend: str = "auto",
    class_map: ClassMap | None = None,
    *,
    class_names: Sequence[str] = CLASS_NAMES,
    drawn: Sequence[int] = (),
    camera: CameraName | None = None,
) -> dict[Part, Counts]:
    """Write what is not there yet; returns what is there then, by part.

    folders: each as find_scenes reads it. A scene without labels and boxes takes what the teacher finds.
    class_map: ids of class_names by the numbers or names in files of boxes; the usual ones where None. What
    is left out is logged. drawn: shares of train, val and test, at random; else whole runs of frame numbers
    are held out as val. camera: as find_scenes. Raises DataError, ConfigError, ModelError or BackendError.
    """
    _check(kinds)
    scenes: list[_Item] = []
    for folder in folders:
        found = find_scenes(folder, camera)
        name = _name_of(folder)
        scenes += _drawn_items(name, found, kinds, drawn) if drawn else _items(name, found, kinds)
    _check_names(scenes)
    bare = [item.scene.image for item in scenes if item.scene.labels is None and item.scene.boxes is None]
    if teacher is None and bare:
        raise DataError(
            f"no image in labels/ and no file of boxes: {len(bare)} scenes, the first is {bare[0]}; give a "
            "detector as --teacher to label them"
        )
    class_map = usual_map(class_names) if class_map is None else class_map
    account = Account(class_map)
    paired = any(item.scene.thermal is not None and item.scene.rgb is not None for item in scenes)
    networks = _networks(kinds, teacher) if paired else {}
    with ExitStack() as stack:
        pipelines = {
            name: stack.enter_context(_pipeline(model, backend)) for name, model in networks.items()
        }
        for item in tqdm(scenes, unit="scene"):
            objects = _write_scene(item, output, pipelines, teacher, class_map)
            if objects is not None:
                account.add(objects)
    account.tell(len(scenes))
    _preview(scenes, output, class_names)
    return _finish(scenes, output, class_names)


def written_data(folder: Path, output: Path) -> Path:
    """What ultralytics trains on as it is, with a data.yaml; else a data set of its images in output.

    Raises DataError.
    """
    if not folder.is_dir() or (folder / "data.yaml").is_file():
        return folder
    log.info("%s has no data.yaml; a data set of its images as they are: %s", folder, output)
    write_dataset([folder], output, [Kind(camera) for camera in CAMERAS], None)
    return output


def _check(kinds: Sequence[Kind]) -> None:
    names = [kind.name for kind in kinds]
    if len(set(names)) < len(names):
        raise ConfigError(f"--images has {', '.join(names)}; expected each kind once")
    for kind in kinds:
        if kind.model not in CAMERAS:
            resolve_model(kind.model, "fusion")


def _check_names(scenes: Sequence[_Item]) -> None:
    """Raises DataError for two scenes that would be one file."""
    seen: dict[str, Scene] = {}
    for item in scenes:
        other = seen.setdefault(item.stem, item.scene)
        if other is not item.scene:
            raise DataError(
                f"{other.image} and {item.scene.image} would both be {item.stem}; give each folder once, "
                "under a name of its own"
            )


def _name_of(folder: Path) -> str:
    parts = folder.resolve().parts
    return "_".join(parts[-2:]) if folder.name in PARTS else parts[-1]


def _drawn_items(
    name: str, found: Sequence[Scene], kinds: Sequence[Kind], drawn: Sequence[int]
) -> Iterator[_Item]:
    parts = draw_scenes(found, drawn)
    log.info("%s: drawn at random, %s", name, ", ".join(f"{len(x)} {part}" for part, x in parts.items()))
    for part, scenes in parts.items():
        for scene in scenes:
            yield _Item(scene, name, cast("Part", part), tuple(kind for kind in kinds if _has(scene, kind)))


def _items(name: str, scenes: Sequence[Scene], kinds: Sequence[Kind]) -> list[_Item]:
    training, held = hold_out_scenes(scenes)
    shown = {kind: {scene.stem for scene in share_of(training, kind.share)} for kind in kinds}
    parts: dict[Part, list[Scene]] = {"train": training, "val": held}
    items: list[_Item] = []
    left_out = Counter({_NEAR: len(scenes) - len(training) - len(held)})
    for part, scene in ((part, scene) for part, inside in parts.items() for scene in inside):
        seen = tuple(kind for kind in kinds if _has(scene, kind))
        chosen = tuple(kind for kind in seen if part == "val" or scene.stem in shown[kind])
        if chosen:
            items.append(_Item(scene, name, part, chosen))
        else:
            left_out[_NO_SHARE if seen else _UNSEEN] += 1
    _tell_parts(name, items, +left_out)
    return items


def _tell_parts(name: str, items: Sequence[_Item], left_out: Counter[str]) -> None:
    """How many scenes each part has, and how many each rule left out."""
    counts = Counter(item.part for item in items)
    reasons = ", ".join(f"{count} {rule}" for rule, count in left_out.items()) or "none"
    log.info(
        "%s: %d scenes, %d to train on, %d held out; left out: %s",
        name, len(items) + left_out.total(), counts["train"], counts["val"], reasons,
    )  # fmt: skip
    if not counts["val"]:
        log.warning("%s is a single short recording or has too few scenes: nothing of it is held out", name)


def _has(scene: Scene, kind: Kind) -> bool:
    """Whether the cameras that saw a scene can give an image of this kind."""
    if kind.model in CAMERAS:
        return (scene.thermal if kind.model == "thermal" else scene.rgb) is not None
    return scene.thermal is not None and scene.rgb is not None


def _networks(kinds: Sequence[Kind], teacher: Teacher | None) -> dict[str, str]:
    networks = {Path(kind.model).stem: kind.model for kind in kinds if kind.model not in CAMERAS}
    if teacher is not None or not networks:
        networks[_WITHOUT_WEIGHTS] = _WITHOUT_WEIGHTS
    return networks


def _pipeline(model: str, backend: str) -> Pipeline:
    values = {"fusion.model": model, "fusion.backend": backend, "detection.model": ""}
    return build_pipeline(load_config(PipelineConfig, None, values))


def _files(output: Path, item: _Item, kind: Kind) -> tuple[Path, Path]:
    name = f"{item.part}/{kind.name}/{item.stem}"
    return output / "images" / f"{name}.png", output / "labels" / f"{name}.txt"


def _write_scene(
    item: _Item,
    output: Path,
    pipelines: dict[str, Pipeline],
    teacher: Teacher | None,
    class_map: ClassMap,
) -> Objects | None:
    """Write what is missing of a scene; its objects, None where their labels are there."""
    files = {kind.name: _files(output, item, kind) for kind in item.kinds}
    missing = {name for name, (image, _) in files.items() if not image.exists()}
    unlabelled = any(not labels.exists() for _, labels in files.values())
    if not missing and not unlabelled:
        return None
    taught = unlabelled and teacher is not None
    images = _views(item.scene, missing | ({_WITHOUT_WEIGHTS} if taught else set()), pipelines)
    for name in missing:
        files[name][0].parent.mkdir(parents=True, exist_ok=True)
        write_image(files[name][0], images[name])
    if not unlabelled:
        return None
    seen = [images[name] for name in (*CAMERAS, _WITHOUT_WEIGHTS) if name in images]
    objects = label(item.scene, seen, teacher, class_map, complete=item.part == "train")
    height, width = seen[0].shape[:2]
    text = boxes_text(objects.boxes, objects.class_ids, (width, height))
    for _, path in files.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    return objects


def _views(scene: Scene, wanted: set[str], pipelines: dict[str, Pipeline]) -> dict[str, Image]:
    """(H, W, 3) RGB by kind: of each camera that saw the scene, and fused as wanted if both did."""
    if scene.thermal is None or scene.rgb is None:
        kind = "rgb" if scene.thermal is None else "thermal"
        image = read_image(scene.image)
        if image.dtype != np.uint8:
            raise DataError(f"{scene.image} is {image.dtype}; images of one camera must have 8 bits")
        views = {kind: to_rgb(image)}
    else:
        views = _of_both(scene, wanted, pipelines)
    hazy = sorted(name for name in wanted if name.endswith(_HAZE))
    if hazy:
        rng = np.random.default_rng(zlib.crc32(os.fsencode(scene.stem)))
        views["rgb" + _HAZE] = with_haze(views["rgb"], rng)
        for name in hazy:
            if name not in views:
                pair = _pair(scene, Frame(views["rgb" + _HAZE], 0))
                views[name] = _fused(pipelines[name.removesuffix(_HAZE)], pair).fused
    return views


def _of_both(scene: Scene, wanted: set[str], pipelines: dict[str, Pipeline]) -> dict[str, Image]:
    assert scene.rgb is not None
    pair = _pair(scene, Frame(read_image(scene.rgb), 0))
    views: dict[str, Image] = {}
    for name in (wanted & pipelines.keys()) or list(pipelines)[:1]:
        result = _fused(pipelines[name], pair)
        views |= {name: result.fused, "thermal": to_rgb(result.thermal), "rgb": result.rgb}
    return views


def _pair(scene: Scene, rgb: Frame) -> FramePair:
    assert scene.thermal is not None
    return FramePair(Frame(read_image(scene.thermal), 0), rgb)


def _fused(pipeline: Pipeline, pair: FramePair) -> FusionResult:
    pipeline.reset()
    return pipeline.process(pair)


def _preview(scenes: Sequence[_Item], output: Path, class_names: Sequence[str]) -> None:
    pictures, titles = [], []
    for scene in spread(scenes, _SHOWN):
        for kind in scene.kinds[:2]:
            image_path, labels = _files(output, scene, kind)
            image = to_rgb(read_image(image_path))
            boxes, class_ids = read_boxes(labels, (image.shape[1], image.shape[0]))
            objects = Detections(boxes, np.ones(len(boxes), np.float32), class_ids, tuple(class_names))
            small = narrowed(image, _CELL_WIDTH)
            pictures.append(annotate(small, scaled(objects, small.shape[1] / image.shape[1])))
            titles.append(f"{scene.part}/{kind.name}/{scene.stem}")
    write_image(output / "preview.png", contact_sheet(pictures, titles, 4, _CELL_WIDTH))


def _finish(scenes: Sequence[_Item], output: Path, class_names: Sequence[str]) -> dict[Part, Counts]:
    counts: dict[Part, Counts] = {}
    present = {item.part for item in scenes} | {"train", "val"}
    for part in (cast("Part", part) for part in PARTS if part in present):
        inside = [item for item in scenes if item.part == part]
        classes: Counter[str] = Counter()
        for scene in inside:
            _, class_ids = read_boxes(_files(output, scene, scene.kinds[0])[1], (1, 1))
            classes.update(class_names[class_id] for class_id in class_ids)
        images = sum(len(scene.kinds) for scene in inside)
        counts[part] = Counts(len(inside), images, {name: classes[name] for name in class_names})
    folders = {str(part): f"images/{part}" for part in counts}
    data = {"path": str(output.resolve()), **folders, "names": dict(enumerate(class_names))}
    write_whole(output / "data.yaml", yaml.safe_dump(data, sort_keys=False))
    return counts
