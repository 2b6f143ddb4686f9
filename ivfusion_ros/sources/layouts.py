"""Where data sets keep their pairs, found by their own folders and names, and those pairs.

A place is a path below the data folder, without the suffix of its images: {field} stands for what tells
pairs apart, * for what does not matter; capitals and small letters are the same. All fields of a pair's
thermal image have the same text in its RGB image's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ivfusion_ros.errors import DataError, no_folder
from ivfusion_ros.files import natural_order
from ivfusion_ros.images.names import SUFFIXES
from ivfusion_ros.images.pairs import PairPaths, folders_with_images, images_by_stem
from ivfusion_ros.types import CAMERAS

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_NAMED = 6
"""Most folders that a message names."""

HELD_OUT = r"(?:val|valid|validation|test|testing)[-_ ]?\d*"
"""Parts of a data set that its authors do not train on, as an expression."""

Fields = tuple[tuple[str, str], ...]
"""Names of a place's fields and the text that stands there, in the order of the path."""


@dataclass(frozen=True)
class Layout:
    """Where one data set keeps its images, and what says what is in them.

    thermal, rgb: places of the images. labels: of maps of class ids. boxes: files of objects, with their
    suffix. '' where there are none. held_out: parts that are not to train on, as an expression.
    """

    thermal: str
    rgb: str
    labels: str = ""
    boxes: str = ""
    held_out: str = HELD_OUT

    def held_out_part(self, fields: Fields) -> str:
        """The part that fields tell of, where it is not to train on; else ''."""
        part = dict(fields).get("part", "")
        return part if re.fullmatch(self.held_out, part, re.IGNORECASE) else ""


OWN = Layout("thermal/{stem}", "rgb/{stem}", "labels/{stem}", "boxes/{stem}.txt")

LAYOUTS: Mapping[str, tuple[Layout, ...]] = {
    "thermal/ and rgb/": (
        OWN,
        Layout("thermal/{stem}", "visible/{stem}", "labels/{stem}", "boxes/{stem}.txt"),
    ),
    "M3FD": (Layout("Ir/{stem}", "Vis/{stem}", boxes="Annotation/{stem}.xml"),),
    "MSRS": (
        Layout("ir/{stem}", "vi/{stem}", "Segmentation_labels/{stem}", "labels/{stem}.txt"),
        Layout(
            "{part}/ir/{stem}",
            "{part}/vi/{stem}",
            "{part}/Segmentation_labels/{stem}",
            "{part}/labels/{stem}.txt",
        ),
    ),
    "LLVIP": (
        Layout("infrared/{part}/{stem}", "visible/{part}/{stem}", boxes="Annotations/{stem}.xml"),
        Layout("infrared/{stem}", "visible/{stem}", boxes="Annotations/{stem}.xml"),
    ),
    "KAIST": (
        *(
            Layout(
                f"{images}set{{part}}/V{{video}}/lwir/{{stem}}",
                f"{images}set{{part}}/V{{video}}/visible/{{stem}}",
                boxes=f"{boxes[0]}/set{{part}}/V{{video}}/{{stem}}{boxes[1]}",
                held_out="0[6-9]|1[01]",
            )
            for boxes in (("annotations-xml-new-sanitized", ".xml"), ("annotations", ".txt"))
            for images in ("images/", "")
        ),
        Layout("V{video}/lwir/{stem}", "V{video}/visible/{stem}"),
        Layout("lwir/{stem}", "visible/{stem}"),
    ),
    "FLIR aligned": (
        Layout(
            "JPEGImages/{stem}_PreviewData",
            "JPEGImages/{stem}_RGB",
            boxes="Annotations/{stem}_PreviewData.xml",
        ),
    ),
    # crop_HR_visible has other sizes and is not aligned.
    "RoadScene": (Layout("cropinfrared/{stem}", "crop_LR_visible/{stem}"),),
    "TNO": (
        Layout("{system}_images/{stem}/IR*", "{system}_images/{stem}/VIS*"),
        Layout("{system}_images/{scene}/{stem}/IR*", "{system}_images/{scene}/{stem}/VIS*"),
        Layout("{system}_images/{scene}/thermal/{stem}i", "{system}_images/{scene}/visual/{stem}v"),
        Layout(
            "{system}_images/{scene}/{part}/thermal/RAD{stem}",
            "{system}_images/{scene}/{part}/dhv/DHV{stem}",
        ),
        Layout("{stem}/LWIR", "{stem}/Vis"),
    ),
}
"""By name of the data set; the first that has pairs in a folder is the one. Several layouts add up."""


def find_pairs(folder: Path, names: tuple[str, str] | None = None) -> list[PairPaths]:
    """All pairs of a data folder, in natural order of their names. Raises DataError when there are none.

    folder: of one of LAYOUTS; where it is not there, its last part is a {part} of the folder above, such as
    LLVIP/train. names: of the folders in it that hold the thermal and the rgb images, as --folders; None
    where the user cannot name others.
    """
    known = LAYOUTS if names is None or names == CAMERAS else {"": (_named(names),)}
    for layouts in known.values():
        pairs = _pairs(folder, layouts)
        if not folder.is_dir():
            above = _pairs(folder.parent, layouts)
            pairs = [
                (fields, replace(pair, held_out=""))
                for fields, pair in above
                if dict(fields).get("part") == folder.name
            ]
        if pairs:
            return _with_stems(pairs)
    raise _no_pairs(folder, names)


def matching(folder: Path, place: str, left_out: Counter[str] | None = None) -> dict[Fields, Path]:
    """The images at a place, in natural order; none of those that * alone tells apart.

    Of images that only the suffix tells apart, the last one; left_out counts the others.
    """
    suffixes = "(?:" + "|".join(map(re.escape, SUFFIXES)) + ")"
    found: dict[Fields, list[Path]] = {}
    for fields, path in _walk(folder, _patterns(place, suffixes)):
        found.setdefault(fields, []).append(path)
    alone = {fields: paths[-1] for fields, paths in found.items() if len({p.stem for p in paths}) == 1}
    twice = sum(len(found[fields]) - 1 for fields in alone)
    if left_out is not None and twice:
        left_out["of the name of another, with another suffix"] += twice
    return dict(sorted(alone.items(), key=lambda item: [natural_order(text) for _, text in item[0]]))


def files_at(folder: Path, place: str) -> dict[Fields, Path]:
    """The files at a place that ends in their suffix."""
    return dict(_walk(folder, _patterns(place)))


def fields_of(place: str, fields: Fields) -> Fields:
    """Those fields that a place has, in its order."""
    values = dict(fields)
    return tuple((name, values[name]) for name in re.findall(r"\{(\w+)\}", place))


def _pairs(folder: Path, layouts: Sequence[Layout]) -> list[tuple[Fields, PairPaths]]:
    found: dict[Fields, PairPaths] = {}
    for layout in layouts:
        thermal = matching(folder, layout.thermal)
        rgb = matching(folder, layout.rgb) if thermal else {}
        labels = matching(folder, layout.labels) if rgb and layout.labels else {}
        for fields in thermal.keys() & rgb.keys():
            boxes = folder / layout.boxes.format_map(dict(fields)) if layout.boxes else None
            boxes = boxes if boxes is not None and boxes.is_file() else None
            pair = PairPaths(
                thermal[fields],
                rgb[fields],
                labels.get(fields),
                boxes,
                dict(fields)["stem"],
                layout.held_out_part(fields),
            )
            if fields not in found or (boxes and not found[fields].boxes):
                found[fields] = pair
    return list(found.items())


def _with_stems(pairs: Sequence[tuple[Fields, PairPaths]]) -> list[PairPaths]:
    """In natural order; a name that several parts of the data set have tells the part as well."""
    unique = len({pair.stem for _, pair in pairs}) == len(pairs)
    named = [pair if unique else replace(pair, name=_joined(fields)) for fields, pair in pairs]
    return sorted(named, key=lambda pair: natural_order(pair.stem))


def _joined(fields: Fields) -> str:
    return "_".join(text for _, text in fields)


def _named(names: tuple[str, str]) -> Layout:
    # Braces and stars in a folder's name are only what they are.
    thermal, rgb = (re.sub(r"([{}*])", r"\\\1", name) for name in names)
    return Layout(f"{thermal}/{{stem}}", f"{rgb}/{{stem}}", OWN.labels, OWN.boxes)


def _patterns(place: str, suffixes: str = "") -> list[re.Pattern[str]]:
    """The parts of a place as expressions with its fields as groups. suffixes: what the last ends in."""
    *folders, last = map(_expression, place.split("/"))
    return [re.compile(part, re.IGNORECASE) for part in (*folders, last + suffixes)]


def _expression(part: str) -> str:
    text = ""
    for piece in re.split(r"(\\[{}*]|\{\w+\}|\*)", part):
        if re.fullmatch(r"\{\w+\}", piece):
            text += f"(?P<{piece[1:-1]}>.+)"
        elif piece == "*":
            text += ".*"
        else:
            text += re.escape(piece.removeprefix("\\") if len(piece) == 2 else piece)
    return text


def _walk(
    folder: Path, patterns: Sequence[re.Pattern[str]], fields: Fields = ()
) -> Iterator[tuple[Fields, Path]]:
    """The files below a folder whose paths match part by part."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = patterns[0].fullmatch(path.name)
        if match is None:
            continue
        here = (*fields, *match.groupdict().items())
        if len(patterns) == 1:
            yield here, path
        else:
            yield from _walk(path, patterns[1:], here)


def _no_pairs(folder: Path, renamed: tuple[str, str] | None) -> DataError:
    if not folder.is_dir():
        return no_folder(folder)
    names = renamed or CAMERAS
    thermal, rgb = (len(matching(folder, f"{name}/{{stem}}")) for name in names)
    others = ", other folder names in --folders" if renamed else ""
    sets = ", ".join(list(LAYOUTS)[1:])
    return DataError(
        f"{folder} has {thermal} images in {names[0]}/ and {rgb} in {names[1]}/, none with equal names; "
        f"expected pairs such as {names[0]}/0001.png and {names[1]}/0001.png{others}, "
        f"or the folder of a data set as it is published ({sets}){_hint(folder, by_option=bool(renamed))}"
    )


def _hint(folder: Path, *, by_option: bool) -> str:
    """What may have been meant, by where images are. by_option: whether --folders names the two in it."""
    own, below = images_by_stem(folder), folders_with_images(folder)
    if own and by_option:
        return f"; images in {folder} itself: {len(own)}; give the folder above those of both cameras"
    if own:
        return f"; images in {folder} itself: {len(own)}; give two folders, the thermal camera's first"
    if not below:
        parts = [str(path) for path in sorted(folder.iterdir()) if _pairs(path, (OWN,))]
        return f"; there are pairs in {', '.join(parts[:_NAMED])}: give one of them" if parts else ""
    how = (
        "name two of them with --folders"
        if by_option
        else "give two of them instead, the thermal one first"
    )
    return f"; there are images in {', '.join(str(folder / name) for name in below[:_NAMED])}: {how}"
