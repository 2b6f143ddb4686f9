"""The documents say what the code does."""

import re

import numpy as np
import pytest
from places import ROOT

from ivfusion_ros.cli import COMMANDS
from ivfusion_ros.commands.doctor import parameter_table
from ivfusion_ros.config.node import FusionNodeConfig


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="docs/ is not beside the tests")
def test_parameter_table_is_up_to_date() -> None:
    text = (ROOT / "docs" / "parameters.md").read_text(encoding="utf-8")
    assert parameter_table(FusionNodeConfig) in text, (
        "docs/parameters.md is old; paste what `ivfusion doctor --parameters` prints"
    )


def test_python_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    thermal, rgb = np.full((64, 96), 90, np.uint8), np.full((64, 96, 3), 60, np.uint8)
    exec(code, {"thermal": thermal, "rgb": rgb})
    assert capsys.readouterr().out.startswith("(64, 96, 3)")


def test_readme_names_only_commands_and_files_that_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"ivfusion (\w+)", text)) - {"COMMAND"} <= set(COMMANDS)
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / target).exists(), target
