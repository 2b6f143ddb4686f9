"""Every room says what lives there and hands out what others use of it, and imports nothing heavy."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from places import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGE = ROOT / "ivfusion_ros"
ROOMS = sorted(
    ".".join(face.parent.relative_to(ROOT).parts)
    for face in PACKAGE.rglob("__init__.py")
    if face.parent != PACKAGE
)
HEAVY = (
    "torch", "onnx", "onnxruntime", "openvino", "tensorrt", "tensorrt_rtx", "ultralytics", "matplotlib",
    "rclpy", "pycocotools", "av",
)  # fmt: skip
MADE_OF_TORCH = ("ivfusion_ros.networks", "ivfusion_ros.training.fusion.losses")
OWN_OF_A_PAPER = {("ivfusion_ros.networks", "Features")}
"""Each paper's file has another one."""


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_opens_with_a_sentence_and_its_names_exist(room: str) -> None:
    try:
        face = importlib.import_module(room)
        names = {name: exists(face, name) for name in face.__all__}
    except ImportError as error:
        pytest.skip(f"{room} needs a library that is not here: {error}")
    assert len(face.__all__) == len(names) and all(names.values()), names
    first, *rest = (face.__doc__ or "").splitlines()
    assert first.endswith(".") and ". " not in first and (not rest or not rest[0])


def exists(face: object, name: str) -> bool:
    folder = PACKAGE.joinpath(*str(face.__name__).split(".")[1:], name)
    return folder.is_dir() or getattr(face, name, None) is not None


def test_an_unknown_name_is_an_error_of_the_room() -> None:
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        from ivfusion_ros.export import nothing  # noqa: F401


def test_a_face_imports_nothing_heavy() -> None:
    light = [room for room in ROOMS if room not in MADE_OF_TORCH]
    program = (
        f"import sys, importlib\nfor name in {HEAVY}: sys.modules[name] = None\n"
        f"for room in {light}: importlib.import_module(room)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def room_of(module: str) -> str:
    parts = module.split(".")
    while ".".join(parts) not in (*ROOMS, "ivfusion_ros"):
        parts.pop()
    return ".".join(parts)


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of what a file imports by name from the package."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ivfusion_ros"):
            for item in node.names:
                if PACKAGE.joinpath(*node.module.split(".")[1:]).with_suffix(".py").exists():
                    yield node.module, item.name


def test_what_other_rooms_import_is_public() -> None:
    pytest.importorskip("torch", reason="the faces of networks and losses need torch")
    homes: dict[tuple[str, str], set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        own = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for module, name in imports(path):
            if (room := room_of(module)) not in (own, "ivfusion_ros"):
                homes.setdefault((room, name), set()).add(module.split(".")[-1])
    # A function that is called as its module would hide the module.
    wanted = {key for key, modules in homes.items() if key[1] not in modules} - OWN_OF_A_PAPER
    missing = [
        f"{name} of {room}" for room, name in wanted if name not in importlib.import_module(room).__all__
    ]
    assert not missing, f"not in __all__ of the room's __init__.py: {', '.join(sorted(missing))}"
