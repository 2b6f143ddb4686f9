"""The node's room uses what rclpy documents: what begins with an underscore may go with any release."""

import ast

import pytest
from places import ROOT

FILES = sorted((ROOT / "ivfusion_ros" / "ros").glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_private_attributes_of_others(path) -> None:
    found = [
        f"{path.name}:{node.lineno}: {node.attr}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        # os._exit is documented.
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls", "os"))
    ]
    assert found == []
