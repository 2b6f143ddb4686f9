"""The torch backend on a GPU: half precision and CUDA graphs beside ONNX Runtime on the CPU."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ivfusion_ros.backends import load_backend
from ivfusion_ros.errors import ModelError
from ivfusion_ros.evaluation.speed.benchmark import sample_pair
from ivfusion_ros.models import resolve_model
from ivfusion_ros.pipeline.fuser import Fuser

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA GPU here"),
]
NETWORKS = ("refinefuse", "refinefuse_lite", "mda", "transfusion", "mst")


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("precision", "most"), [("auto", 1.0), ("f32", 0.1)])
def test_fused_images_are_those_of_the_reference(name: str, precision: str, most: float) -> None:
    reference = Fuser(load_backend(resolve_model(name), "onnxruntime"))
    fuser = Fuser(load_backend(resolve_model(name), "torch", precision=precision))
    assert ("f16" in fuser.backend.description) == (precision == "auto")
    thermal, rgb = sample_pair((160, 120))
    # Sizes alternate, and each image differs: a recording must read what came last.
    for step in range(6):
        images = np.roll(thermal, step, 1), np.roll(rgb, 7 * step, 0)
        if step % 2:
            images = tuple(np.ascontiguousarray(image[:100, :133]) for image in images)
        error = np.abs(fuser(*images).astype(int) - reference(*images).astype(int))
        assert error.mean() < most


def test_outputs_stay_the_callers_and_sizes_must_agree() -> None:
    backend = load_backend(resolve_model("mst"), "torch")
    thermal, rgb = sample_pair((64, 48))
    first = backend.run({"thermal": thermal[None], "rgb": rgb[None]})["fused"]
    kept = first.copy()
    backend.run({"thermal": 255 - thermal[None], "rgb": 255 - rgb[None]})
    assert np.array_equal(first, kept)
    with pytest.raises(ModelError, match="expected one size"):
        backend.run({"thermal": thermal[None, :32], "rgb": rgb[None]})
