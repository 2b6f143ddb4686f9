"""The images of an evaluated pair, for its page: as it was judged, or again by what results.json names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivfusion_ros.errors import DataError
from ivfusion_ros.evaluation.detection.find import CameraMethod
from ivfusion_ros.evaluation.fusion.methods import Method, make_methods
from ivfusion_ros.evaluation.fusion.pairs import Pair
from ivfusion_ros.images.encodings import to_rgb
from ivfusion_ros.images.files import read_image
from ivfusion_ros.types import CAMERAS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ivfusion_ros.types import Image


class ResultPictures:
    """Called with (data, pair): images by name, the cameras' first."""

    def __init__(self, pairs: Iterable[Pair], methods: Sequence[Method]) -> None:
        self._pairs = {(pair.data, pair.stem): pair for pair in pairs}
        named = {method.label: method for method in methods}
        # Of one camera's images alone both files of a pair are its own.
        alone = all(pair.thermal == pair.rgb for pair in self._pairs.values())
        cameras: dict[str, Method] = {} if alone else {name: CameraMethod(name) for name in CAMERAS}
        self._methods = cameras | named

    def __call__(self, key: tuple[str, ...]) -> dict[str, Image]:
        """Raises IvfusionError."""
        data, stem = key
        if (data, stem) not in self._pairs:
            raise DataError(f"the results name no files of {stem} of {data}; evaluate again")
        pair = self._pairs[data, stem]
        return {label: _read(method.fused(pair)) for label, method in self._methods.items()}


def pictures_again(figures: Mapping[str, Any]) -> ResultPictures:
    """Of results.json; networks run again, as far as their files are there. Raises IvfusionError."""
    methods = figures["networks"] if "networks" in figures else figures["methods"]
    own: list[Method] = [CameraMethod(row["camera"]) for row in methods.values() if "camera" in row]
    own += make_methods(
        [f"{label}={row['file']}" for label, row in methods.items() if "file" in row],
        [f"{label}={row['folder']}" for label, row in methods.items() if "folder" in row],
        backend="auto",
        precision="auto",
        threads=0,
    )
    files = figures.get("pairs", {})
    pairs = [
        Pair(data, stem, Path(thermal), Path(rgb))
        for data, stems in files.items()
        for stem, (thermal, rgb) in stems.items()
    ]
    return ResultPictures(pairs, own)


def _read(image: Path | Image) -> Image:
    return to_rgb(read_image(image) if isinstance(image, Path) else image)
