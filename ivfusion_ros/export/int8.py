"""Detector in f32 (ONNX) -> the same detector in int8, for OpenVINO on CPUs, calibrated on images.

Post-training static quantisation (Jacob et al., CVPR 2018) by onnxruntime.quantization: rounding nodes
(QuantizeLinear, DequantizeLinear) in front of convolutions, which a backend turns into int8 kernels. The
choices were measured with YOLOv5n at 640x480 on one core of an x86 CPU; errors are those of scores above
0.1.

- A convolution reads uint8 in one range per tensor and has int8 weights in one range per output channel.
  What it gives is not rounded before its SiLU: OpenVINO computes both and the next rounding in one kernel,
  and by itself goes on in uint8 through Concat and Resize. Rounding in between costs 14 % of time and half
  as much error again. ONNX Runtime has no such kernel: it computes these files in f32, slower than those
  in f32.
- Weights have 7 bits. A CPU without VNNI adds products in pairs in 16 bits, which 8 bits overflow: that
  moved scores by up to 0.12, while 7 bits add a twentieth to the error.
- A range is the mean of the images' extremes. Those of all images together are those of a few odd ones, and
  scores are wrong by 0.017 instead of 0.010.
- Convolutions whose values are reshaped next, or are an output, stay in float: the last ones of a head,
  whose rounding would go straight into box edges and scores, and the one that takes the mean of a
  distribution of box edges. They take 2 % of the time.
- So do the first two, whose error all others inherit: a quarter of the shipped yolov5n's was theirs. That
  takes 1.06 times as long.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto
from tqdm import tqdm

from ivfusion_ros.backends.compare import Outcome
from ivfusion_ros.backends.self_test import reference
from ivfusion_ros.errors import BackendError, DataError, IvfusionError, ModelError
from ivfusion_ros.files import write_whole
from ivfusion_ros.graphs.letterbox import Letterbox
from ivfusion_ros.graphs.onnx_file import PRECISION_KEY, read_model
from ivfusion_ros.graphs.task import keep_detections, network_input_size, takes_thermal
from ivfusion_ros.graphs.yolo import Candidates, box_iou, decode, identify_head
from ivfusion_ros.images.files import read_image
from ivfusion_ros.images.names import SUFFIXES
from ivfusion_ros.types import Floats32

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ivfusion_ros.backends.tensors import Array

MAX_IMAGES = 200
"""That ranges are taken from; their means then have standard errors of 1 to 2 %, a few of up to 8 %."""

MIN_OVERLAP = 0.93
"""Mean intersection over union of boxes in int8 with those in f32, over the anchors that score highest.

The yolov5n that ships has 0.963, and COCO's 0.951.
"""

MAX_SCORE = 0.04
"""Largest mean error of those anchors' scores, which grows with the scores themselves.

The yolov5n that ships has 0.027 on its data set's images and as much on simulated ones; all in int8 it had
0.036 and up to 0.056. It loses at most 0.010 of its mean AP50 on a kind of images. The one before, whose
scores were four fifths of these, has 0.020 and 0.026, COCO's 0.028.
"""

MIN_TAIL_OVERLAP, MAX_TAIL_SCORE = 0.7, 0.2
"""Smallest 1st percentile of those overlaps, largest 99th of those scores' errors: what goes wrong in one
place leaves the means as they are.

The yolov5n that ships has .83 and .14 on its data set's images, COCO's .80 and .14.
"""

_TEST_IMAGES = 24
"""Of eight, the mean error of the same detector is anything from 0.009 to 0.021."""

_ANCHORS = 100
_FIRST = 2
"""Convolutions at the start that stay in float."""
_MIN_OPSET = 13
"""The first in which each channel of the weights may have a range of its own."""

_PRODUCTS = {"Conv", "ConvTranspose", "MatMul", "Gemm"}
_REARRANGES = {"Reshape", "Flatten", "Transpose"}
_SIZES = {"Shape", "Size"}

Tensor = Floats32
"""(1, 3, H, W) RGB in [0, 1], what a detector reads"""


def quantise_detector(source: Path, path: Path, folder: Path) -> Outcome:
    """Write the detector in `source` to `path` in int8; returns its self-test.

    folder: images such as the detector will see, as find_images finds them. The file appears only when it
    is whole and has passed. Raises ModelError, DataError, ImageError, BackendError (no ONNX Runtime).
    """
    model = read_for_int8(source)
    images = find_images(folder, MAX_IMAGES + _TEST_IMAGES)
    # Tested on images whose extremes are in no range, where there are enough.
    kept = min(_TEST_IMAGES, len(images) // 4)
    tests, calibration = images[:kept] or images, images[kept:]
    with tqdm(calibration, unit="image", desc="calibrated") as bar:
        quantised = to_int8(model, (network_input(model, image) for image in bar))
    outcome = _self_test(model, quantised, tests)
    if not outcome.passed:
        raise ModelError(
            f"{source} in int8 failed its self-test: {outcome.text}; calibrate with more images like "
            "those that "
            "the detector will see, or use it as it is"
        )
    write_whole(path, quantised.SerializeToString())
    return outcome


def to_int8(model: onnx.ModelProto, inputs: Iterable[Tensor]) -> onnx.ModelProto:
    """A copy of a detector in int8, with ranges from these inputs. Raises ModelError, BackendError.

    Inputs, outputs and metadata are the detector's, and PRECISION_KEY says int8.
    """
    try:
        from onnxruntime import quantization
    except ImportError as error:
        raise BackendError(f"int8 needs ONNX Runtime ({error}); run: pip install onnxruntime") from error
    prepared = _prepared(model)
    nodes = quantised_nodes(prepared.graph)
    reader = _Reader(prepared.graph.input[0].name, iter(inputs))
    with tempfile.TemporaryDirectory() as folder:
        plain, quantised = Path(folder) / "f32.onnx", Path(folder) / "int8.onnx"
        onnx.save(prepared, plain)
        try:
            quantization.quantize_static(
                plain,
                quantised,
                reader,
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                nodes_to_quantize=nodes[_FIRST:] or nodes,
                per_channel=True,
                reduce_range=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                calibrate_method=quantization.CalibrationMethod.MinMax,
                extra_options={
                    "OpTypesToExcludeOutputQuantization": ["Conv"],
                    # All images go in at once, and then this is their plain mean.
                    "CalibMovingAverage": True,
                },
            )
        except IvfusionError:
            raise
        # What the library raises shares no base class but Exception.
        except Exception as error:
            raise ModelError(f"onnxruntime.quantization cannot convert the model: {error}") from error
        result = onnx.load(quantised)
    del result.metadata_props[:]
    result.metadata_props.extend(item for item in model.metadata_props if item.key != PRECISION_KEY)
    result.metadata_props.add(key=PRECISION_KEY, value="int8")
    return result


def quantised_nodes(graph: onnx.GraphProto) -> list[str]:
    """Names of the convolutions that become int8: those whose values reach others as feature maps.

    Raises ModelError where there are none.
    """
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    weights = {item.name for item in graph.initializer if item.data_type == TensorProto.FLOAT}
    outputs = {item.name for item in graph.output}
    names = [
        node.name
        for node in graph.node
        if node.op_type == "Conv" and node.input[1] in weights and not _ends(node, readers, outputs)
    ]
    if not names:
        raise ModelError(
            "the network has no two convolutions in a row, int8 would change nothing; use it as it is"
        )
    return names


def find_images(folder: Path, most: int) -> list[Path]:
    """At most `most` images of a folder and those below it, drawn by a fixed seed, in random order.

    A data set of `ivfusion dataset` gives training images only: the others are there to judge. What lies in
    a folder labels/ is no image. Raises DataError.
    """
    training = folder / "images" / "train"
    folder = training if training.is_dir() else folder
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and "labels" not in path.relative_to(folder).parts
    )
    if not found:
        raise DataError(
            f"{folder} holds no images; expected a data set of `ivfusion dataset`, or any folder of some "
            "hundred images like those that the detector will see (fused ones, and of each camera)"
        )
    return random.Random(0).sample(found, min(most, len(found)))


def network_input(model: onnx.ModelProto, path: Path) -> Tensor:
    """What the detector reads of an image file, made as Detector makes it. Raises ImageError, DataError."""
    image = read_image(path)
    if image.dtype != np.uint8:
        raise DataError(
            f"{path} has 16 bits, and a detector sees 8; take images of `ivfusion dataset` or `ivfusion "
            "fuse`"
        )
    colour = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    size = (colour.shape[1], colour.shape[0])
    canvas = Letterbox.fit(size, network_input_size(model, size)).apply(np.asarray(colour, np.uint8))
    return np.ascontiguousarray((canvas * np.float32(1 / 255)).transpose(2, 0, 1)[None])


class _Reader:
    """Inputs one by one, as the quantiser asks for them."""

    def __init__(self, name: str, inputs: Iterator[Tensor]) -> None:
        self._name = name
        self._inputs = inputs

    def get_next(self) -> dict[str, Tensor] | None:
        """The next input by its name, None after the last."""
        tensor = next(self._inputs, None)
        return None if tensor is None else {self._name: tensor}


def read_for_int8(source: Path) -> onnx.ModelProto:
    """A detector that may become int8. Raises ModelError."""
    if source.suffix != ".onnx":
        raise ModelError(
            f"{source} is not an ONNX file; export it first (`ivfusion export --detector`), then that "
            "file with --int8"
        )
    model = read_model(source)
    if takes_thermal(model):
        raise ModelError(
            f"{source} takes the thermal image too, and int8 is for detectors of one image; use it as it is"
        )
    _check_format(model, str(source))
    keep_detections(model)
    if any(node.op_type in ("NonMaxSuppression", "TopK") for node in model.graph.node):
        raise ModelError(
            f"{source} chooses its boxes by itself (end to end), and int8 is for detectors without that: "
            "export it with nms=False"
        )
    return model


def _check_format(model: onnx.ModelProto, file: str = "FILE") -> None:
    """Raises ModelError for what is not in f32, or of an opset that is too old. file: for advice."""
    if any(node.op_type in ("QuantizeLinear", "DynamicQuantizeLinear") for node in model.graph.node):
        raise ModelError("the detector is in int8 already; use it as it is, or give the one in f32")
    if model.graph.input[0].type.tensor_type.elem_type != TensorProto.FLOAT or any(
        item.data_type == TensorProto.FLOAT16 for item in model.graph.initializer
    ):
        raise ModelError(
            "the detector is in half precision; give the one in f32, which `ivfusion export --detector "
            f"{file} f32.onnx` writes of one with anchors"
        )
    opset = max((item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), default=0)
    if opset < _MIN_OPSET:
        raise ModelError(
            f"the detector has opset {opset}, expected at least {_MIN_OPSET}; export it again with "
            f"--opset {_MIN_OPSET}"
        )


def _prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which each node has a name of its own. Raises ModelError for what is not in f32."""
    _check_format(model)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    names: set[str] = set()
    for index, node in enumerate(result.graph.node):
        if not node.name or node.name in names:
            node.name = f"{node.op_type}/{index}"
        names.add(node.name)
    # The quantiser advises to fold batch norms first, unless it reads this; exported detectors have none.
    result.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    return result


def _ends(node: onnx.NodeProto, readers: dict[str, list[onnx.NodeProto]], outputs: set[str]) -> bool:
    """Whether a node's values are reshaped, or are an output, before the next convolution or product."""
    waiting, seen = list(node.output), set(node.output)
    while waiting:
        name = waiting.pop()
        if name in outputs:
            return True
        for reader in readers.get(name, []):
            if reader.op_type in _REARRANGES:
                return True
            if reader.op_type not in _PRODUCTS | _SIZES:
                waiting += [item for item in reader.output if item not in seen]
                seen.update(reader.output)
    return False


def _self_test(model: onnx.ModelProto, quantised: onnx.ModelProto, images: list[Path]) -> Outcome:
    """int8 beside f32, both in ONNX Runtime, over the anchors of each image that score highest in f32."""
    plain, rounded = reference(model), reference(quantised)
    name = model.graph.input[0].name
    overlaps: list[float] = []
    errors: list[float] = []
    for image in images:
        inputs = {name: network_input(model, image)}
        old, new = (_anchors(run(inputs), inputs[name].shape) for run in (plain, rounded))
        if len(old.scores) != len(new.scores):
            return Outcome(False, "the output has NaN or infinite values")
        best = np.argsort(old.scores)[-_ANCHORS:]
        pairs = zip(old.boxes_xyxy[best], new.boxes_xyxy[best], strict=True)
        with np.errstate(invalid="ignore"):  # two boxes without area
            overlaps += [float(box_iou(box, other[None])[0]) for box, other in pairs]
        errors += np.abs(old.scores - new.scores)[best].tolist()
    common = np.nan_to_num(overlaps, nan=1.0)
    overlap, error = float(common.mean()), float(np.mean(errors))
    overlap_tail, error_tail = float(np.percentile(common, 1)), float(np.percentile(errors, 99))
    passed = overlap >= MIN_OVERLAP and error <= MAX_SCORE
    passed &= overlap_tail >= MIN_TAIL_OVERLAP and error_tail <= MAX_TAIL_SCORE
    return Outcome(
        passed,
        f"overlap {overlap:.3f} of boxes, mean error {error:.4f} of scores, 99% from {overlap_tail:.2f} "
        f"and within {error_tail:.3f}, over the {_ANCHORS} best anchors of each of {len(images)} images",
    )


def _anchors(outputs: Mapping[str, Array], shape: tuple[int, ...]) -> Candidates:
    output = next(iter(outputs.values()))
    return decode(output, identify_head(output.shape, (shape[3], shape[2])), confidence=0.0)
