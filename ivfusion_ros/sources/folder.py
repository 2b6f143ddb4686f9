"""A folder of images as one camera's stream."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ivfusion_ros.errors import DataError, ImageError
from ivfusion_ros.files import natural_order
from ivfusion_ros.images.radiometric import read_camera_image
from ivfusion_ros.sources.pairs import images_in
from ivfusion_ros.sources.stamps import stamps_of
from ivfusion_ros.sources.stream import START_NS, check_rate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from ivfusion_ros.sources.source import SourceOptions
    from ivfusion_ros.types import AnyImage, CameraName

log = logging.getLogger(__name__)


class FolderStream:
    """See CameraStream. Images in natural order of their names, or in that of their stamps."""

    def __init__(
        self, folder: Path, options: SourceOptions, stamps: Path | None, camera: CameraName
    ) -> None:
        """stamps: text file with the images' stamps. Raises DataError and ConfigError."""
        check_rate(options.rate_hz)
        self._folder, self._options, self._camera = folder, options, camera
        images = images_in(folder)
        found = stamps_of(images, folder, options.stamps, stamps)
        self.has_clock = found is not None and (options.rate_hz is None or stamps is not None)
        if found is not None and not self.has_clock:
            log.warning("the images in %s have stamps, which --rate overrides", folder)
        if found is not None and len(found) < len(images):
            log.warning(
                "%d of %d images in %s have no stamp", len(images) - len(found), len(images), folder
            )
        if found is None or not self.has_clock:
            found = self._constant_rate(images)
        self.names, self._images = list(images), images
        self._set_stamps(found)

    def count_by(self, names: Sequence[str]) -> None:
        """Of images without stamps: let time count along these names, of which each image has one."""
        places = self._constant_rate(names)
        self._set_stamps({name: places[name] for name in self.names})

    def _set_stamps(self, found: dict[str, int]) -> None:
        self._order = sorted(found, key=lambda stem: (found[stem], natural_order(stem)))
        self._stamps = found
        self.first_ns = found[self._order[0]]
        self.count: int | None = len(found)
        length_ns = found[self._order[-1]] - self.first_ns
        self.rate_hz: float | None = (len(found) - 1) * 1e9 / length_ns if length_ns else None

    def _constant_rate(self, names: Iterable[str]) -> dict[str, int]:
        rate_hz = self._options.rate_hz
        if rate_hz is None:
            raise DataError(
                f"the images in {self._folder} have no stamps in their names or in a file beside them; "
                "give --rate HZ, or --thermal-stamps and --rgb-stamps FILE"
            )
        return {stem: START_NS + round(index * 1e9 / rate_hz) for index, stem in enumerate(names)}

    def images(self) -> Iterator[tuple[int, AnyImage]]:
        """See CameraStream."""
        for stem in self._order:
            path = self._images[stem]
            try:
                image = read_camera_image(path, self._camera, self._options.max_pixels)
            except ImageError as error:
                self._options.on_skip(str(path), error)
                continue
            yield self._stamps[stem], image

    def close(self) -> None:
        """Nothing is held."""
