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


def _probe(folder: Path) -> Iterator[Any]:
    import domain_coordinator
    from harness import Probe

    with domain_coordinator.domain_id() as domain_id:
        probe = Probe(domain_id, folder)
        try:
            yield probe
        finally:
            probe.close()
