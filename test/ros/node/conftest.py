"""Everything here needs a sourced ROS 2; without one each test is skipped, and counted as such."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# For `harness`; this folder is a package so that its conftest is not the one of the folder above.
sys.path.insert(0, str(Path(__file__).parent))

# Read when message classes are first imported.
os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"

# Nothing leaves this machine, and nobody else's nodes are heard; ROS 2 Humble has another name for it.
if os.environ.get("ROS_DISTRO") == "humble":
    os.environ["ROS_LOCALHOST_ONLY"] = "1"
else:
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"

# A job in the background of a script, as CI may run, ignores SIGINT and hands that on to its children.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

try:
    import rclpy  # noqa: F401

    MISSING = ""
except ImportError as error:
    MISSING = f"needs a sourced ROS 2: {error}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.ros)
            if MISSING:
                item.add_marker(pytest.mark.skip(reason=MISSING))


@pytest.fixture
def probe(tmp_path: Path) -> Iterator[Any]:
    """A probe on a DDS domain that no other test uses."""
    yield from _probe(tmp_path)


@pytest.fixture(scope="module")
def module_probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One probe for all tests of a file."""
    yield from _probe(tmp_path_factory.mktemp("ros"))


@pytest.fixture(scope="module")
def node(module_probe: Any, blend_model: Path, box_model: Path) -> Iterator[Any]:
    """A process whose fused image is (rgb + thermal) // 2, and which finds one person."""
    process = module_probe.start_active(
        fusion__model=str(blend_model),
        detection__model=str(box_model),
        detection__backend="onnxruntime",
        pairing__max_skew_ms=5,
    )
    yield process
    status, _ = process.stop()
    assert status == 0, process.log()
    assert "Traceback" not in process.log()


@pytest.fixture(scope="module")
def cameras(module_probe: Any, node: Any) -> Any:
    """Publishers of images for that node."""
    from harness import Cameras

    return Cameras(module_probe)


def _probe(folder: Path) -> Iterator[Any]:
    import domain_coordinator
    from harness import Probe

    with domain_coordinator.domain_id() as domain_id:
        probe = Probe(domain_id, folder)
        try:
            yield probe
        finally:
            probe.close()
