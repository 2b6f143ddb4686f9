"""Scenes for a detector on disk: pairs or images of one camera, with whatever says what is in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ivfusion_ros.errors import DataError
from ivfusion_ros.images.pairs import images_by_stem


@dataclass(frozen=True)
class Scene:
    """One scene: an image of one camera or of both, and what says what is in it.

    labels: a map of class ids. boxes: a text file, which need not exist where the scene is empty, or an XML
    file of Pascal VOC's form.
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
    MSRS's class ids) or boxes/ (.txt in YOLO's form). M3FD's own Ir/, Vis/ and Annotation/ (.xml) do too.
    """
    thermal = images_by_stem(folder / "thermal") or images_by_stem(folder / "Ir")
    rgb = next(filter(None, (images_by_stem(folder / name) for name in ("rgb", "visible", "Vis"))), {})
    stems = thermal.keys() & rgb.keys() if thermal and rgb else thermal.keys() | rgb.keys()
    if not stems:
        raise DataError(
            f"{folder} has {len(thermal)} images in thermal/ and {len(rgb)} in rgb/, none of equal names; "
            "expected pairs in both, or images in one alone"
        )
    labels = images_by_stem(folder / "labels")
    names = {"boxes": ".txt", "Annotation": ".xml"}
    boxes = [(folder / name, suffix) for name, suffix in names.items() if (folder / name).is_dir()][:1]
    return [
        Scene(
            stem,
            thermal.get(stem),
            rgb.get(stem),
            labels.get(stem),
            next((place / f"{stem}{suffix}" for place, suffix in boxes), None),
        )
        for stem in sorted(stems)
    ]
