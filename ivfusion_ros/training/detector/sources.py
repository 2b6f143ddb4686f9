"""Scenes for a detector on disk: pairs or images of one camera, with whatever says what is in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ivfusion_ros.errors import DataError
from ivfusion_ros.images.pairs import images_by_stem


@dataclass(frozen=True)
class Scene:
    """One scene: an image of one camera or of both, and what says what is in it.

    labels: a map of class ids. boxes: a text file, which need not exist where the scene is empty.
    """

    stem: str
    thermal: Path | None
    rgb: Path | None
    labels: Path | None = None
    boxes: Path | None = None

    @property
    def image(self) -> Path:
        """The RGB image where there is one, else the thermal one."""
        path = self.rgb or self.thermal
        assert path is not None
        return path


def find_scenes(folder: Path) -> list[Scene]:
    """All scenes of a folder, sorted by stem. Raises DataError where there are none.

    It has thermal/ and rgb/ (or visible/) with equal stems, or one of them; beside them labels/ (maps of
    MSRS's class ids) or boxes/ (.txt in YOLO's form).
    """
    thermal = images_by_stem(folder / "thermal")
    rgb = images_by_stem(folder / "rgb") or images_by_stem(folder / "visible")
    stems = thermal.keys() & rgb.keys() if thermal and rgb else thermal.keys() | rgb.keys()
    if not stems:
        raise DataError(
            f"{folder} has {len(thermal)} images in thermal/ and {len(rgb)} in rgb/, none of equal names; "
            "expected pairs in both, or images in one alone"
        )
    labels = images_by_stem(folder / "labels")
    boxes = folder / "boxes"
    has_boxes = boxes.is_dir()
    return [
        Scene(
            stem,
            thermal.get(stem),
            rgb.get(stem),
            labels.get(stem),
            boxes / f"{stem}.txt" if has_boxes else None,
        )
        for stem in sorted(stems)
    ]
