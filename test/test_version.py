"""The version stands in the package alone; whatever repeats or reads it agrees."""

import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
from places import ROOT

from ivfusion_ros import __version__


@pytest.mark.skipif(not (ROOT / "package.xml").is_file(), reason="package.xml is not beside the tests")
def test_package_xml_repeats_the_version() -> None:
    assert ET.parse(ROOT / "package.xml").findtext("version") == __version__


@pytest.mark.skipif(not (ROOT / "setup.py").is_file(), reason="setup.py is not beside the tests")
def test_setup_reads_the_version() -> None:
    pytest.importorskip("setuptools")
    command = [sys.executable, "setup.py", "--version"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == __version__
