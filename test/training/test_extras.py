"""What a stage of a training needs, and the extra that has it."""

import ast
import re
from types import SimpleNamespace

import pytest
from places import ROOT

from ivfusion_ros.errors import BackendError
from ivfusion_ros.training.recipe.kinds import KINDS, Kind


def libraries_of(extra: str) -> set[str]:
    """Of setup.py."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    for node in (node for node in ast.walk(tree) if isinstance(node, ast.Dict)):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == extra:
                return {re.match(r"[\w-]+", name)[0] for name in ast.literal_eval(value)}
    raise AssertionError(f"setup.py has no extra {extra}")


@pytest.mark.parametrize("name", KINDS)
def test_the_extra_of_a_stage_has_its_libraries(name: str) -> None:
    kind = KINDS[name]
    # ONNX Runtime comes with the package, torch with ultralytics.
    assert set(kind.libraries.split()) - {"onnxruntime"} <= libraries_of(kind.extra)


def test_what_is_missing_and_how_to_install_it_is_told() -> None:
    kind = Kind(
        SimpleNamespace, "no_such_module", "train", "ultralytics openvino", {}, extra="train-detector"
    )
    with pytest.raises(BackendError, match=r"pip install ultralytics openvino, or this package\[train-det"):
        kind.run(None)
