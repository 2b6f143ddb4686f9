"""An emulated GPU, a folder for its engines, and small models that run on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    import fake_gpu

# Tests that need no onnx are collected without it, too: it is imported by those that use these.


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IVFUSION_ENGINES", str(tmp_path / "engines"))
    return tmp_path / "engines"


@pytest.fixture
def tally(monkeypatch: pytest.MonkeyPatch) -> fake_gpu.Tally:
    import fake_gpu

    return fake_gpu.install(monkeypatch)


@pytest.fixture(scope="module")
def fusion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from small_models import write_fusion

    return write_fusion(tmp_path_factory.mktemp("fusion") / "fusion.onnx")


@pytest.fixture(scope="module")
def finder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from small_models import write_detector

    return write_detector(tmp_path_factory.mktemp("finder") / "finder.onnx")


@pytest.fixture(scope="module")
def keen_finder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It answers to the faint contrasts of the small network's images."""
    from small_models import write_detector

    return write_detector(tmp_path_factory.mktemp("finder") / "keen.onnx", gain=80.0)
