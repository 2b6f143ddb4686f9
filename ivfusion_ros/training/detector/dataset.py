"""Scenes with labels -> a data set in the form that ultralytics trains on.

    OUT/images/{train,val,test}/KIND/FOLDER_STEM.png   8-bit RGB, of the RGB camera's size if there is one
    OUT/labels/{train,val,test}/KIND/FOLDER_STEM.txt   class, centre x and y, width, height, over the size
    OUT/made_of.yaml                              of which folders and settings; nothing else goes on there
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
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import yaml
from tqdm import tqdm

from ivfusion_ros.config.parameters import load_config
from ivfusion_ros.config.pipeline import PipelineConfig
from ivfusion_ros.detection.classes import CLASS_NAMES, LEFT_OUT, usual_map
from ivfusion_ros.detection.given import Account, words_and_ids
from ivfusion_ros.errors import ConfigError, DataError
from ivfusion_ros.files import write_whole
from ivfusion_ros.images.draw import annotate, narrowed, scaled
from ivfusion_ros.images.encodings import to_rgb
from ivfusion_ros.images.files import read_image, write_image
from ivfusion_ros.images.labels import boxes_text, read_boxes
from ivfusion_ros.images.pairs import spread
from ivfusion_ros.images.sheet import contact_sheet
from ivfusion_ros.models import resolve_model
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.training.detector.haze import with_haze
from ivfusion_ros.training.detector.items import Item, Part, find_items
from ivfusion_ros.training.detector.kinds import HAZE, Kind
from ivfusion_ros.training.detector.labelling import label
from ivfusion_ros.training.detector.made_of import DATA, begin, check_made_of
from ivfusion_ros.training.detector.split import PARTS
from ivfusion_ros.training.fusion.provenance import file_identity
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
    from collections.abc import Sequence

    from ivfusion_ros.detection.classes import ClassMap
    from ivfusion_ros.detection.given import Objects
    from ivfusion_ros.pipeline.pipeline import Pipeline
    from ivfusion_ros.sources.scenes import Scene
    from ivfusion_ros.training.detector.teacher import Teacher

log = logging.getLogger(__name__)

_WITHOUT_WEIGHTS = "mst"
"""What the teacher looks at beside the cameras' images, the same whatever kinds are asked for."""

_NAMED = 8
"""Most classes that a message names."""
_SHOWN = 12
"""Pairs on the preview."""
_CELL_WIDTH = 480
"""Of its images, pixels."""


@dataclass(frozen=True)
class Counts:
    """What a part of the data set holds."""

    pairs: int
    images: int
    objects: dict[str, int]
    """By class name; an object counts once, however many kinds show it."""


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
    needed: Sequence[Part] = (),
) -> dict[Part, Counts]:
    """Write what is not there yet of the same data set; returns what is there then, by part.

    folders: each as find_scenes reads it. A scene without labels and boxes takes what the teacher finds.
    class_map: ids of class_names by the numbers or names in files of boxes; the usual ones where None. What
    is left out is logged. drawn: shares of train, val and test, at random; else val is what the set itself
    does not train on, or else whole runs of frame numbers. camera: as find_scenes. needed: parts that must
    have scenes. Nothing is written before all files of boxes have been read. Raises DataError, ConfigError,
    ModelError or BackendError.
    """
    _check(kinds)
    class_map = usual_map(class_names) if class_map is None else class_map
    made_of = {
        "data": [str(folder.resolve()) for folder in folders],
        "images": {kind.name: _identity(kind) for kind in kinds},
        "teacher": file_identity(teacher.model if teacher else None),
        "classes": {str(word): number for word, number in class_map.ids.items()},
        "names": [*class_names],
        "drawn": [*drawn],
        "camera": camera or "",
    }
    check_made_of(output, made_of)
    items = find_items(folders, kinds, drawn, camera)
    for part in needed:
        if not any(item.part == part for item in items):
            raise DataError(
                f"{len(items)} scenes of {', '.join(map(str, folders))} leave none for {part}; add folders "
                "of other recordings, or make a data set of several with `ivfusion dataset`"
            )
    _check_given(items, teacher, class_map, class_names)
    _begin(output, made_of, items)
    account = Account(class_map)
    paired = any(item.scene.thermal is not None and item.scene.rgb is not None for item in items)
    networks = _networks(kinds, teacher) if paired else {}
    with ExitStack() as stack:
        pipelines = {
            name: stack.enter_context(_pipeline(model, backend)) for name, model in networks.items()
        }
        for item in tqdm(items, unit="scene"):
            objects = _write_scene(item, output, pipelines, teacher, class_map)
            if objects is not None:
                account.add(objects)
    account.tell(len(items))
    _preview(items, output, class_names)
    return _finish(items, output, class_names)


def written_data(folder: Path, output: Path) -> Path:
    """What ultralytics trains on as it is, with a data.yaml; else a data set of its images in output.

    Raises DataError.
    """
    if not folder.is_dir() or (folder / "data.yaml").is_file():
        return folder
    log.info("%s has no data.yaml; a data set of its images as they are: %s", folder, output)
    kinds = [Kind(camera) for camera in CAMERAS]
    write_dataset([folder], output, kinds, None, needed=("train", "val"))
    return output


def _check(kinds: Sequence[Kind]) -> None:
    names = [kind.name for kind in kinds]
    if len(set(names)) < len(names):
        raise ConfigError(f"--images has {', '.join(names)}; expected each kind once")
    for kind in kinds:
        if kind.model not in CAMERAS:
            resolve_model(kind.model, "fusion")


def _identity(kind: Kind) -> dict[str, Any]:
    """What its images depend on."""
    if kind.model in CAMERAS:
        return {"share": kind.share}
    return {"share": kind.share, **file_identity(resolve_model(kind.model, "fusion"))}


def _check_given(
    items: Sequence[Item],
    teacher: Teacher | None,
    class_map: ClassMap,
    class_names: Sequence[str],
) -> None:
    """Read what says what is in the scenes. Raises DataError where that is nothing, or cannot be read."""
    bare = [item.scene.image for item in items if item.scene.labels is None and item.scene.boxes is None]
    if teacher is None and bare:
        raise DataError(
            f"no image in labels/ and no file of boxes: {len(bare)} scenes, the first is {bare[0]}; give a "
            "detector as --teacher to label them"
        )
    given = [words_and_ids(item.scene, class_map) for item in items if item.scene.boxes is not None]
    if len(given) == len(items) and all(number == LEFT_OUT for _, ids in given for number in ids):
        words = Counter(word for called, _ in given for word in called)
        found = ", ".join(f"{count} {word}" for word, count in words.most_common(_NAMED)) or "none"
        raise DataError(
            f"no box in {len(items)} scenes is of {', '.join(class_names)}; there are: {found}. Say what "
            "they are in a YAML file of `number: name` or `name: name`, --classes"
        )


def _begin(output: Path, made_of: dict[str, Any], items: Sequence[Item]) -> None:
    files = [file for item in items for kind in item.kinds for file in _files(output, item, kind)]
    kinds = dict.fromkeys(kind for item in items for kind in item.kinds)
    folders = [
        output / name / part / kind.name
        for name in ("images", "labels")
        for part in PARTS
        for kind in kinds
    ]
    gone = begin(output, made_of, folders, files)
    if gone:
        log.info("%s: %d files of an earlier run are no longer of the data set, and gone", output, gone)


def _networks(kinds: Sequence[Kind], teacher: Teacher | None) -> dict[str, str]:
    networks = {Path(kind.model).stem: kind.model for kind in kinds if kind.model not in CAMERAS}
    if teacher is not None or not networks:
        networks[_WITHOUT_WEIGHTS] = _WITHOUT_WEIGHTS
    return networks


def _pipeline(model: str, backend: str) -> Pipeline:
    values = {"fusion.model": model, "fusion.backend": backend, "detection.model": ""}
    return build_pipeline(load_config(PipelineConfig, None, values))


def _files(output: Path, item: Item, kind: Kind) -> tuple[Path, Path]:
    name = f"{item.part}/{kind.name}/{item.stem}"
    return output / "images" / f"{name}.png", output / "labels" / f"{name}.txt"


def _write_scene(
    item: Item,
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
    hazy = sorted(name for name in wanted if name.endswith(HAZE))
    if hazy:
        rng = np.random.default_rng(zlib.crc32(os.fsencode(scene.stem)))
        views["rgb" + HAZE] = with_haze(views["rgb"], rng)
        for name in hazy:
            if name not in views:
                pair = _pair(scene, Frame(views["rgb" + HAZE], 0))
                views[name] = _fused(pipelines[name.removesuffix(HAZE)], pair).fused
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


def _preview(items: Sequence[Item], output: Path, class_names: Sequence[str]) -> None:
    pictures, titles = [], []
    for item in spread(items, _SHOWN):
        for kind in item.kinds[:2]:
            image_path, labels = _files(output, item, kind)
            image = to_rgb(read_image(image_path))
            boxes, class_ids = read_boxes(labels, (image.shape[1], image.shape[0]))
            objects = Detections(boxes, np.ones(len(boxes), np.float32), class_ids, tuple(class_names))
            small = narrowed(image, _CELL_WIDTH)
            pictures.append(annotate(small, scaled(objects, small.shape[1] / image.shape[1])))
            titles.append(f"{item.part}/{kind.name}/{item.stem}")
    write_image(output / "preview.png", contact_sheet(pictures, titles, 4, _CELL_WIDTH))


def _finish(items: Sequence[Item], output: Path, class_names: Sequence[str]) -> dict[Part, Counts]:
    counts: dict[Part, Counts] = {}
    present = {item.part for item in items} | {"train", "val"}
    for part in (cast("Part", part) for part in PARTS if part in present):
        inside = [item for item in items if item.part == part]
        classes: Counter[str] = Counter()
        for item in inside:
            _, class_ids = read_boxes(_files(output, item, item.kinds[0])[1], (1, 1))
            classes.update(class_names[class_id] for class_id in class_ids)
        images = sum(len(item.kinds) for item in inside)
        counts[part] = Counts(len(inside), images, {name: classes[name] for name in class_names})
    folders = {str(part): f"images/{part}" for part in counts}
    data = {"path": str(output.resolve()), **folders, "names": dict(enumerate(class_names))}
    write_whole(output / DATA, yaml.safe_dump(data, sort_keys=False))
    return counts
