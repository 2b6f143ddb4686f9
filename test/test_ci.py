"""The workflow of a public forge runs what the Makefile says, on the Pythons that setup.py allows."""

import re

import pytest
import yaml
from places import ROOT

WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"

pytestmark = pytest.mark.skipif(not WORKFLOW.is_file(), reason="ci.yml is not beside the tests")


def test_every_step_is_a_target_of_make() -> None:
    targets = re.findall(
        r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    jobs = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"].values()
    commands = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    assert commands
    assert {command.removeprefix("make ") for command in commands} <= set(targets)


def test_the_oldest_python_is_the_one_that_setup_allows() -> None:
    (oldest,) = re.findall(r'python_requires=">=(3\.\d+)"', (ROOT / "setup.py").read_text(encoding="utf-8"))
    jobs = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]
    pythons = jobs["core"]["strategy"]["matrix"]["python"]
    assert pythons[0] == oldest
    # Each is text: as a number, 3.10 would be 3.1.
    assert [int(python.split(".")[1]) for python in pythons] == list(range(10, 10 + len(pythons)))
