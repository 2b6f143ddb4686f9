"""docs/papers.md: what it names is there, and nothing of the papers' code goes unnamed."""

import ast
import re
from functools import cache

import pytest
from places import ROOT

from ivfusion_ros.files import read_yaml

PAGE = ROOT / "docs" / "papers.md"
pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="docs/ is not beside the tests")

CLAIMED = (
    "ivfusion_ros/networks/refinefuse_paper.py",
    "ivfusion_ros/networks/mda.py",
    "ivfusion_ros/networks/transfusion.py",
    "ivfusion_ros/training/fusion/losses/refinefuse.py",
    "ivfusion_ros/training/fusion/losses/refinefuse_ablation.py",
    "ivfusion_ros/training/fusion/losses/mda.py",
    "ivfusion_ros/training/fusion/losses/mda_measures.py",
    "ivfusion_ros/training/fusion/losses/ms_ssim.py",
    "ivfusion_ros/training/fusion/losses/mutual_information.py",
    "ivfusion_ros/training/fusion/losses/transfusion.py",
)
NO_CLAIMS = {
    "Features",
    "PaperMeasure",
    "entropy",
    "brighter_source",
    "make_mda_loss",
    "make_reconstruction_loss",
}
"""Of those files: what hands parts to others, and what is a part of something that is named."""


def rows() -> list[list[str]]:
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] != "claim"]


def named(text: str) -> list[tuple[str, str]]:
    return re.findall(r"`([\w/]+\.(?:py|yaml)):([\w.]+)`", text)


@cache
def symbols(file: str) -> set[str]:
    """Functions, classes, their methods, and names that are given values, of a Python file."""
    found: set[str] = set()
    for node in ast.parse((ROOT / file).read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{item.name}" for item in node.body if isinstance(item, ast.FunctionDef)}
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def is_there(file: str, name: str) -> bool:
    if not (ROOT / file).is_file():
        return False
    if file.endswith(".py"):
        return name in symbols(file)
    content = read_yaml(ROOT / file)
    for part in name.split("."):
        if not isinstance(content, dict) or part not in content:
            return False
        content = content[part]
    return True


def test_all_names_exist() -> None:
    found = named(PAGE.read_text("utf-8"))
    assert len(found) > 100
    assert [f"{file}:{name}" for file, name in found if not is_there(file, name)] == []


def test_each_claim_has_code_and_a_test() -> None:
    assert len(rows()) > 45
    for claim, _, code, tests in rows():
        assert named(code) and not [file for file, _ in named(code) if file.startswith("test/")], claim
        assert named(tests), claim
        assert all(file.startswith("test/") and name.startswith("test_") for file, name in named(tests)), (
            claim
        )


def test_no_part_of_the_papers_code_goes_unnamed() -> None:
    page = {(file, name.partition(".")[0]) for file, name in named(PAGE.read_text("utf-8"))}
    parts = {
        (file, name)
        for file in CLAIMED
        for name in symbols(file)
        if re.fullmatch(r"[A-Z][A-Za-z]*[a-z][A-Za-z]*|[A-Z]+IM|[a-z][a-z_]*", name)
    }
    classes = {(file, name) for file, name in parts if "." not in name and name not in NO_CLAIMS}
    assert sorted(classes - page) == []
