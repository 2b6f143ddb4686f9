"""Pixels in and out: encodings, image files, films, thermal stretch, drawing, pairs on disk."""

from ivfusion_ros.faces import later
from ivfusion_ros.images.bars import Bars
from ivfusion_ros.images.coco_json import read_coco
from ivfusion_ros.images.colour import has_colour, swapped
from ivfusion_ros.images.declared import MAX_PIXELS
from ivfusion_ros.images.draw import PALETTE, annotate, narrowed, outline, scaled, triptych
from ivfusion_ros.images.encodings import (
    COLOUR_ENCODINGS,
    ENCODINGS,
    decode_depth,
    decode_image,
    encode_image,
    natural_encoding,
    same_size_encoding,
    to_grey,
    to_rgb,
)
from ivfusion_ros.images.files import (
    JPEG_QUALITY,
    SUFFIXES,
    data_uri,
    decode_compressed,
    decode_pixels,
    encode_compressed,
    read_content,
    read_image,
    write_image,
)
from ivfusion_ros.images.labels import boxes_text, read_boxes, read_objects, read_voc
from ivfusion_ros.images.objects import RULES, Hints, boxes_of
from ivfusion_ros.images.packets import PacketDecoder
from ivfusion_ros.images.pairs import (
    RUN_GAP,
    HasStem,
    PairPaths,
    following_pairs,
    hold_out,
    hold_out_end,
    images_by_stem,
    spread,
)
from ivfusion_ros.images.radiometric import read_camera_image
from ivfusion_ros.images.rgb_input import RgbInput
from ivfusion_ros.images.sheet import contact_sheet, heading
from ivfusion_ros.images.thermal import ThermalScaler
from ivfusion_ros.images.thermal_input import ThermalInput
from ivfusion_ros.images.video import frame_pixels, import_av

__getattr__, _later = later(
    __name__,
    {
        "film": ("EvenSample", "Pictures"),
        "measured": ("from_values", "to_values"),
        "video": ("VideoReader",),
    },
)

__all__ = [
    "same_size_encoding",
    "read_camera_image",
    "natural_encoding",
    "import_av",
    "frame_pixels",
    "RgbInput",
    "PacketDecoder",
    "MAX_PIXELS",
    "HasStem",
    "Bars",
    "COLOUR_ENCODINGS",
    "ENCODINGS",
    "Hints",
    "JPEG_QUALITY",
    "PALETTE",
    "PairPaths",
    "RULES",
    "RUN_GAP",
    "SUFFIXES",
    "ThermalInput",
    "ThermalScaler",
    "annotate",
    "boxes_of",
    "boxes_text",
    "contact_sheet",
    "data_uri",
    "decode_compressed",
    "decode_depth",
    "decode_image",
    "decode_pixels",
    "encode_compressed",
    "encode_image",
    "following_pairs",
    "has_colour",
    "hold_out",
    "hold_out_end",
    "images_by_stem",
    "narrowed",
    "heading",
    "scaled",
    "outline",
    "read_boxes",
    "read_coco",
    "read_content",
    "read_image",
    "read_objects",
    "read_voc",
    "spread",
    "swapped",
    "to_grey",
    "to_rgb",
    "write_image",
    *_later,
    "triptych",
]
