"""The documents say what the code does."""

import ast
import json
import re
import shlex
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from places import ROOT

from ivfusion_ros.cli import COMMANDS, build_parser
from ivfusion_ros.commands.doctor import PARAMETERS_OF, parameter_table
from ivfusion_ros.images.encodings import ENCODINGS
from ivfusion_ros.images.files import read_image


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="docs/ is not beside the tests")
@pytest.mark.parametrize("kind", PARAMETERS_OF)
def test_parameter_tables_are_up_to_date(kind: str) -> None:
    name = "parameters.md" if kind == "node" else "training.md"
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert parameter_table(PARAMETERS_OF[kind]) in text, (
        f"docs/{name} is old; paste what `ivfusion doctor --parameters {kind}` prints"
    )


def test_python_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    # The other block needs a ROS 2; test_node_detections runs it.
    (code,) = re.findall(r"```python\n(import ivfusion_ros.*?)```", text, flags=re.DOTALL)
    thermal, rgb = np.full((64, 96), 90, np.uint8), np.full((64, 96, 3), 60, np.uint8)
    monkeypatch.chdir(tmp_path)
    exec(code, {"thermal": thermal, "rgb": rgb})
    assert "fused=uint8 (64, 96, 3)" in capsys.readouterr().out
    assert read_image("fused.png").shape == (64, 96, 3)


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs/calibration.md",
        "docs/contracts.md",
        "docs/fleet.md",
        "docs/how-it-works.md",
        "docs/how-to.md",
        "docs/index.md",
        "docs/jetson.md",
        "docs/looking.md",
        "docs/papers.md",
        "docs/models.md",
        "docs/own-cameras.md",
        "docs/python.md",
        "docs/robot.md",
        "docs/scale.md",
        "docs/sources.md",
        "docs/tracking.md",
        "docs/training.md",
        "docs/trust.md",
        "docs/tutorial.md",
        "docs/which-network.md",
    ],
)
def test_documents_name_only_commands_and_files_that_exist(name: str) -> None:
    document = ROOT / name
    text = document.read_text(encoding="utf-8")
    assert set(re.findall(r"ivfusion ([\w-]+)", text)) - {"COMMAND", "help"} <= set(COMMANDS)
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (document.parent / target).exists(), target


def test_links_between_documents_lead_to_headings() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    anchors = {path.resolve(): _anchors(path.read_text(encoding="utf-8")) for path in documents}
    links = [
        (path.name, target, anchor)
        for path in documents
        for target, anchor in re.findall(
            r"\]\(([\w./-]*\.md)?#([\w-]+)\)", path.read_text(encoding="utf-8")
        )
    ]
    assert len(links) > 5
    folders = {path.name: path for path in documents}
    for name, target, anchor in links:
        there = (folders[name].parent / target).resolve() if target else folders[name].resolve()
        assert anchor in anchors[there], f"{name} links to {target}#{anchor}"


def _anchors(text: str) -> set[str]:
    """Of a document's headings, as Markdown's toc makes them."""
    titles = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}


def test_the_page_of_calibration_begins_with_both_ways() -> None:
    text = (ROOT / "docs" / "calibration.md").read_text(encoding="utf-8")
    title, first = text.splitlines()[0], text.split("\n## ")[0]
    assert "ordinary scenes" in title and "board" in title
    commands = re.findall(r"^ {4}ivfusion (calibrate .*)$", first, flags=re.MULTILINE)
    given = [build_parser("calibrate").parse_args(shlex.split(line)).board for line in commands]
    assert None in given and any(given)


def test_the_page_of_what_goes_in_has_every_encoding_and_tests_that_exist() -> None:
    text = (ROOT / "docs" / "sources.md").read_text(encoding="utf-8")
    table = text.partition("| encoding of a raw image")[2].partition("\n\n")[0]
    assert set(ENCODINGS) <= set(re.findall(r"`(\w+)`", table))
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "test").rglob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", text):
        assert f"def {name}(" in tests, name


def test_contributing_lists_the_floors_of_the_contract() -> None:
    contract = (
        (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("\nlayers = [")[2].partition("]")[0]
    )
    floors = [re.findall(r"\w+", line) for line in contract.splitlines() if line.strip()]
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Rooms and floors")[2]
    listed = iter(re.findall(r"^    (\w+)(?:/|\.py) ", text, flags=re.MULTILINE))
    assert [sorted(next(listed, "") for _ in rooms) for rooms in floors] == [
        sorted(rooms) for rooms in floors
    ]
    assert not list(listed)


def test_paths_of_the_how_tos_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?:[\w.]+/)+[\w.]*)`", text)
    assert len(paths) > 20
    for path in paths:
        places = (
            ROOT / path,
            ROOT / "ivfusion_ros" / path,
            ROOT / "ivfusion_ros" / "training" / "fusion" / path,
        )
        assert any(place.exists() for place in places) or "NAME" in path, path


NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_notebooks_run(path, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    names: dict[str, object] = {}
    value: object = None
    for cell in (cell for cell in cells if cell["cell_type"] == "code"):
        *lines, last = ast.parse("".join(cell["source"])).body
        exec(compile(ast.Module(lines, []), path.name, "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), path.name, "eval"), names)
        else:
            exec(compile(ast.Module([last], []), path.name, "exec"), names)
    # A notebook ends with what it claims.
    assert bool(value) is True


def commands_in(path: Path) -> list[str]:
    """What a document says to type after `ivfusion`, in lines of their own."""
    text = path.read_text(encoding="utf-8").replace("\\\n", "")
    return re.findall(r"^ {4}(?:\.venv/bin/)?ivfusion (.+)$", text, flags=re.MULTILINE)


@pytest.mark.parametrize(
    "path",
    [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))],
    ids=lambda path: path.stem,
)
def test_commands_of_the_documents_are_understood(path: Path) -> None:
    for line in commands_in(path):
        words = shlex.split(line, comments=True)
        try:
            options = build_parser(words[0]).parse_args(words)
        except SystemExit as end:
            # --help and --version end so, too.
            assert end.code == 0, line
        else:
            assert options.command == words[0]


def test_the_documents_have_commands_to_understand() -> None:
    for name in ("tutorial.md", "training.md", "models.md"):
        assert len(commands_in(ROOT / "docs" / name)) > 7, name


def test_python_of_the_page_of_training_reads_a_pickle_without_its_code(tmp_path, monkeypatch) -> None:
    torch = pytest.importorskip("torch", reason="training dependencies are not installed")
    files = pytest.importorskip("safetensors.torch", reason="training dependencies are not installed")
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    theirs = types.ModuleType("theirs")

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))

    Net.__module__, Net.__qualname__ = "theirs", "Net"
    theirs.Net = Net
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as there:
        there.setitem(sys.modules, "theirs", theirs)
        model = Net().half()
        torch.save({"epoch": -1, "model": model}, "yolov5n.pt")
    # Here nobody knows its class.
    exec(code, {"__name__": "page"})
    found = files.load_file("yolov5n_coco.safetensors")
    expected = model.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name].float()) for name in expected)


def test_python_of_the_tutorial_writes_registered_pairs(small_bag, tmp_path, monkeypatch) -> None:
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert "demo/cameras.mcap" in code and '"registration.calibration": "rig.yaml"' in code
    monkeypatch.chdir(tmp_path)
    code = code.replace("demo/cameras.mcap", str(small_bag)).replace(
        '"registration.calibration": "rig.yaml", ', ""
    )
    exec(code, {})
    assert read_image("scenes/thermal/0000.png").shape == (64, 96)
    assert read_image("scenes/rgb/0000.png").shape == (64, 96, 3)
