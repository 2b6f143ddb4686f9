"""The contract that keeps the rooms' floors apart, and that it sees an arrow which runs back up."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

pytest.importorskip("importlinter", reason="needs import-linter")


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    code = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(cache_dir=None))"
    command, environment = [sys.executable, "-c", code], os.environ | {"PYTHONPATH": str(root)}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    # Other processes may be writing bytecode, under names that are gone a moment later.
    bytecode = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "ivfusion_ros", tmp_path / "ivfusion_ros", ignore=bytecode)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_rooms_import_downwards_only(copy: Path) -> None:
    result = lint(copy)
    assert result.returncode == 0, result.stdout
    assert "1 kept, 0 broken" in result.stdout


@pytest.mark.parametrize(
    ("room", "line", "arrow"),
    [
        ("geometry/maps.py", "import ivfusion_ros.pipeline.build", "ivfusion_ros.geometry -> "),
        ("bags/reader.py", "from ivfusion_ros.backends import load_backend", "ivfusion_ros.bags -> "),
    ],
    ids=["up", "aside"],
)
def test_another_arrow_breaks_the_contract(copy: Path, room: str, line: str, arrow: str) -> None:
    file = copy / "ivfusion_ros" / room
    file.write_text(file.read_text("utf-8") + f"\n\n{line}\n", encoding="utf-8")
    result = lint(copy)
    assert result.returncode == 1
    assert arrow.split(" -> ")[0] in result.stdout and "0 kept, 1 broken" in result.stdout


def test_a_new_room_needs_a_floor(copy: Path) -> None:
    folder = copy / "ivfusion_ros" / "attic"
    folder.mkdir()
    (folder / "__init__.py").write_text('"""A room that nobody planned."""\n')
    result = lint(copy)
    assert result.returncode == 1 and "attic" in result.stdout
