"""`ivfusion reproduce`: the paper's figures are whole, each kind of table runs, errors prescribe."""

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from places import ROOT, SHARED

torch = pytest.importorskip("torch", reason="training dependencies are not installed")
pytest.importorskip("onnxscript")
from training_samples import m3fd_folder, pair_folder

from ivfusion_ros.cli import main
from ivfusion_ros.commands.interruption import held_back
from ivfusion_ros.errors import INTERRUPTED, ConfigError, DataError, ModelError
from ivfusion_ros.files import read_yaml
from ivfusion_ros.metrics import METRICS
from ivfusion_ros.models import share_folder
from ivfusion_ros.networks import ALL_NETWORKS
from ivfusion_ros.networks.checkpoint import save_checkpoint
from ivfusion_ros.reproduce import Given, Job, html_page, markdown_page, read_paper
from ivfusion_ros.reproduce.job import Networks, Outcome
from ivfusion_ros.reproduce.kinds import KINDS
from ivfusion_ros.reproduce.trained import row_config
from ivfusion_ros.training.fusion.config import load_train_config

pytestmark = pytest.mark.usefixtures("one_export_per_network")

PAPER = read_paper("refinefuse")
RUN = ["reproduce", "refinefuse", "--backend", "onnxruntime", "--threads", "1", "--jobs", "1"]


@pytest.fixture
def msrs(tmp_path: Path) -> Path:
    return pair_folder(tmp_path / "msrs")


def job(number: int, tmp_path: Path, given: Given | None = None, quick: bool = True) -> Job:
    paper = read_paper("refinefuse", quick)
    return Job(paper, paper.table(number), given or Given(), tmp_path, Networks(), held_back)


def cells(page: Path) -> list[list[str]]:
    rows = [line for line in page.read_text("utf-8").splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_all_eleven_tables_are_whole() -> None:
    assert sorted(PAPER.tables) == list(range(1, 12))
    for table in PAPER.tables.values():
        assert table.kind in KINDS and (not table.data or table.data in PAPER.data)
        for name, row in table.rows.items():
            assert len(row.paper) == len(table.columns), (table.number, name)
            assert sum(bool(way) for way in (row.train, row.model, row.images)) <= 1
        if table.kind == "quality":
            assert set(table.columns.values()) <= set(METRICS)


def test_what_the_paper_says_of_its_figures_is_true_of_ours() -> None:
    """Section 4: first in VIF, AG and Qabf on MSRS; mAP first; the cost of design notes."""
    table = PAPER.table(1)
    for column, best in (("VIF", True), ("AG", True), ("Qabf", True), ("SCD", False), ("EN", False)):
        place = list(table.columns).index(column)
        values = {name: row.paper[place] for name, row in table.rows.items()}
        assert (max(values, key=values.__getitem__) == "RefineFuse") == best, column
    detection = PAPER.table(4)
    assert max(detection.rows, key=lambda name: detection.rows[name].paper[3]) == "RefineFuse"
    small, large, *_ = PAPER.table(11).rows["RefineFuse"].paper
    assert (4 * small - large) / 3 == pytest.approx(0.94, abs=0.01)
    # The same network in Tables 1, 8 and 10, there with three digits.
    columns = PAPER.table(10).columns
    one = dict(zip(PAPER.table(1).columns, PAPER.table(1).rows["RefineFuse"].paper, strict=True))
    ten = dict(zip(columns, PAPER.table(10).rows["RefineFuse: 4 layers"].paper, strict=True))
    for name, value in one.items():
        assert ten[name] == pytest.approx(value, abs=6e-4), name


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the folder ../shared with the papers")
def test_figures_are_those_of_the_text() -> None:
    (text,) = (SHARED / "papers").glob("002_*.txt")
    lines = text.read_text("utf-8").splitlines()
    for number, table in PAPER.tables.items():
        start = lines.index(f"Table {number}.") + 2
        printed = [line for line in lines[start : start + 20] if line.startswith("|")]
        numbers = [[float(item) for item in re.findall(r"(?<=\| )\d+\.\d+(?= )", line)] for line in printed]
        for name, row in table.rows.items():
            assert [value for value in row.paper if value is not None] in numbers, (number, name)


def test_settings_exist_and_train_as_the_paper_does(tmp_path: Path) -> None:
    for table in PAPER.tables.values():
        for row in table.rows.values():
            if row.train:
                config = row_config(job(table.number, tmp_path, quick=False), row)
                assert config.network in ALL_NETWORKS
                assert (config.epochs, config.batch, config.crop) == (300, 8, (256,))
                assert (config.optimizer.name, config.learning_rate) == ("sgd", 1e-3)
                assert config.validation_fraction > 0
    printed = load_train_config(share_folder("config") / "train" / "refinefuse_paper.yaml", {})
    assert printed.validation_fraction == 0
    ours = row_config(job(1, tmp_path, quick=False), PAPER.table(1).rows["RefineFuse"])
    assert replace(printed, validation_fraction=ours.validation_fraction) == ours
    assert (share_folder("config") / "reproduce" / "refinefuse.yaml").is_file()
    assert "config/reproduce" in (ROOT / "setup.py").read_text("utf-8")


def test_with_pairs_for_testing_all_others_are_trained_on(tmp_path: Path) -> None:
    given, row = Given({"msrs_test": tmp_path}), PAPER.table(1).rows["RefineFuse"]
    assert row_config(job(9, tmp_path, given), row).validation_fraction == 0
    assert row_config(job(9, tmp_path), row).validation_fraction > 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--table", "2"], DataError.exit_code, r"--data m3fd=DIR"),
        (["--table", "6"], DataError.exit_code, r"MRI/ and PET/.*--data mri_pet=DIR"),
        (["--table", "9"], DataError.exit_code, r"thermal/ and rgb/.*--data msrs=DIR"),
        (["--table", "4"], DataError.exit_code, r"boxes/.*--data m3fd_detection=DIR"),
        (["--table", "12"], ConfigError.exit_code, r"no table 12"),
        (["--table", "9", "--data", "mrsr=."], ConfigError.exit_code, r"mrsr.*expected one of msrs,"),
        (["--table", "9", "--weights", "mda=."], ConfigError.exit_code, r"mda.*refinefuse_table9_i,"),
        (["--table", "1", "--fused", "EMMA=no/such"], DataError.exit_code, r"no folder no/such"),
        (["--table", "1", "--weights", "refinefuse_paper=no.pt"], ModelError.exit_code, r"no file no.pt"),
        (["--table", "9", "--data", "msrs"], ConfigError.exit_code, r"NAME=PATH"),
    ],
)
def test_errors_prescribe(words, code, said, tmp_path: Path, capsys) -> None:
    if words[1] == "4":
        pytest.importorskip("ultralytics")
    assert main([*RUN, *words, "--out", str(tmp_path)]) == code
    assert re.search(said, capsys.readouterr().err)


def test_training_data_are_asked_for_before_anything_is_done(msrs: Path, tmp_path: Path, capsys) -> None:
    words = ["--table", "3", "--data", f"tno={msrs}", "--out", str(tmp_path / "out")]
    assert main([*RUN, *words]) == DataError.exit_code
    assert "--data msrs=DIR" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_is_stopped_says_how_to_go_on(msrs: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    def stop(_: Job) -> Outcome:
        raise KeyboardInterrupt("--resume goes on there")

    monkeypatch.setattr("ivfusion_ros.commands.reproduce.make_table", stop)
    assert main([*RUN, "--table", "9", "--out", str(tmp_path)]) == INTERRUPTED
    said = capsys.readouterr().err
    assert f"kept in {tmp_path / 'refinefuse' / 'work'}" in said and "--resume" not in said


def test_an_unknown_paper_is_named() -> None:
    with pytest.raises(ConfigError, match="expected refinefuse"):
        read_paper("refine")


def ablation(number: int, msrs: Path, out: Path, given: tuple[str, ...]) -> list[str]:
    """Words of a run whose rows are trained but for the given ones, to save time."""
    fused = [f"{name}={msrs / 'rgb'}" for name in given]
    data = ["--data", f"msrs={msrs}", "--fused", *fused]
    return [*RUN, "--table", str(number), "--quick", *data, "--out", str(out)]


def test_ablation_trains_and_goes_on(msrs: Path, tmp_path: Path) -> None:
    words = ablation(9, msrs, tmp_path, tuple(PAPER.table(9).rows)[2:])
    assert main(words) == 0
    work = tmp_path / "refinefuse" / "quick"
    made = {path: path.read_bytes() for path in (*work.glob("*/last.pt"), *work.glob("*.onnx"))}
    assert {path.parent.name for path in made if path.suffix == ".pt"} == {
        "refinefuse_table9_i",
        "refinefuse_table9_ii",
    }
    assert len(made) == 4
    page = tmp_path / "refinefuse" / "table_9_quick.md"
    before = cells(page)
    page.unlink()
    assert main(words) == 0
    assert cells(page) == before
    assert {path: path.read_bytes() for path in made} == made


def test_ablation_has_times_and_differences(msrs: Path, tmp_path: Path, capsys) -> None:
    given = ("Setting A: 3 layers", "Setting B: 5 layers")
    assert main(ablation(10, msrs, tmp_path, given)) == 0
    rows = cells(tmp_path / "refinefuse" / "table_10_quick.md")
    assert rows[2][:4] == ["Setting A: 3 layers", "paper", "1.003", "3.815"]
    assert [row[1] for row in rows[2:]] == 3 * ["paper", "ours", "difference"]
    for paper, ours, difference in zip(rows[2::3], rows[3::3], rows[4::3], strict=True):
        # Whoever comes as a folder of images has no time.
        columns = len(paper) - (paper[0] in given)
        assert not any(ours[columns:])
        for place in range(2, columns):
            change = float(ours[place]) - float(paper[place])
            assert change == pytest.approx(float(difference[place]), abs=2e-3)
    assert "held-out pairs of msrs" in capsys.readouterr().out


@pytest.mark.parametrize("number", [1, 2, 5, 6, 7, 8])
def test_every_table_of_metrics_runs_on_its_own_data(number: int, msrs: Path, tmp_path: Path) -> None:
    table = PAPER.table(number)
    for old, new in zip(("thermal", "rgb"), PAPER.data[table.data].folders, strict=True):
        (msrs / old).rename(msrs / new)
    fused = [f"{name}={msrs / PAPER.data[table.data].folders[1]}" for name in table.rows]
    words = ["--table", str(number), "--quick", "--data", f"{table.data}={msrs}", "--fused", *fused]
    assert main([*RUN, *words, "--out", str(tmp_path / "out")]) == 0
    rows = cells(tmp_path / "out" / "refinefuse" / f"table_{number}_quick.md")
    ours = {row[0]: row[2:] for row in rows if row[1] == "ours"}
    assert set(ours) == set(table.rows)
    # All of them are the same images.
    assert len({tuple(values) for values in ours.values()}) == 1


def test_quality_takes_fused_folders_and_weights(msrs: Path, tmp_path: Path) -> None:
    """Whoever fuses by (thermal + visible) / 2 has a row, with an entropy that can be computed here.

    Names end with the hour, as MSRS's: the figures are of day and night together.
    """
    for path in [*msrs.glob("*/001*D.png")]:
        path.rename(path.with_stem(path.stem.replace("D", "N")))
    fused = tmp_path / "fused"
    fused.mkdir()
    entropies = []
    for path in sorted((msrs / "thermal").iterdir()):
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) // 2
        cv2.imwrite(str(fused / path.name), image)
        share = np.bincount(image.ravel()) / image.size
        entropies.append(-sum(value * np.log2(value) for value in share if value))
    chosen = [entropies[place] for place in np.linspace(0, 11, 4).round().astype(int)]
    words = ["--table", "3", "--quick", "--data", f"tno={msrs}", "--out", str(tmp_path / "out")]
    weights = tmp_path / "mine.pt"
    network = ALL_NETWORKS["refinefuse_paper"]()
    save_checkpoint(weights, {"network": "refinefuse_paper", "weights": network.state_dict()})
    words += ["--weights", f"refinefuse_paper={weights}"]
    assert main([*RUN, *words, "--fused", *(f"{name}={fused}" for name in ("CDDFuse", "halved"))]) == 0
    rows = cells(tmp_path / "out" / "refinefuse" / "table_3_quick.md")
    ours = {row[0]: row for row in rows if row[1] == "ours"}
    assert set(ours) == {"MST", "CDDFuse", "RefineFuse", "halved"}
    place = rows[0].index("EN")
    assert float(ours["halved"][place]) == pytest.approx(np.mean(chosen), abs=1e-3)
    assert not any(row[:2] == ["halved", "paper"] for row in rows)


def test_cost_is_counted_as_torch_counts_it(tmp_path: Path) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    assert main([*RUN, "--table", "11", "--quick", "--out", str(tmp_path)]) == 0
    rows = cells(tmp_path / "refinefuse" / "table_11_quick.md")
    (ours,) = (row for row in rows if row[:2] == ["RefineFuse", "ours"])
    network = ALL_NETWORKS["refinefuse_paper"]().eval()
    image = torch.zeros(1, 1, 256, 256)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image, image)
    assert float(ours[2]) == pytest.approx(counter.get_total_flops() / 2e9, abs=0.006)
    assert float(ours[4]) == pytest.approx(sum(p.numel() for p in network.parameters()) / 1e6, abs=0.006)
    assert float(ours[5]) > 0 and "RTX 4090" in rows[0][5]
    assert "160x120" in (tmp_path / "refinefuse" / "table_11_quick.md").read_text("utf-8")


def test_detection_trains_a_detector_of_each_kind(tmp_path: Path, monkeypatch) -> None:
    for library in ("ultralytics", "openvino", "pycocotools"):
        pytest.importorskip(library)
    folder = m3fd_folder(tmp_path / "m3fd")
    data = ["--data", f"m3fd_detection={folder}"]
    words = ["--table", "4", "--quick", *data, "--out", str(tmp_path / "out")]
    # One row of fused images stands for both, as each trains a detector.
    paper = read_paper("refinefuse", quick=True)
    table = paper.table(4)
    rows = {name: row for name, row in table.rows.items() if name != "MST"}
    paper = replace(paper, tables=paper.tables | {4: replace(table, rows=rows)})
    monkeypatch.setattr("ivfusion_ros.commands.reproduce.read_paper", lambda *_: paper)
    assert main([*RUN, *words, "--fused", f"RefineFuse={folder / 'Vis'}"]) == 0
    rows = cells(tmp_path / "out" / "refinefuse" / "table_4_quick.md")
    ours = {row[0]: row[2:] for row in rows if row[1] == "ours"}
    assert set(ours) == {"Infrared", "Visible", "RefineFuse"}
    data_yaml = read_yaml(tmp_path / "out" / "refinefuse" / "quick" / "table_4" / "dataset" / "data.yaml")
    assert list(data_yaml["names"].values()) == ["person", "car", "bus", "motorcycle", "lamp", "truck"]
    for values in ours.values():
        people, car, bus, mean = map(float, values[:4])
        assert mean == pytest.approx((people + car + bus) / 3, abs=0.11)


def test_pages_escape_and_show_what_is_there(tmp_path: Path) -> None:
    small = job(11, tmp_path, Given(fused={"<b>|x": tmp_path}))
    row = dict.fromkeys(small.table.columns.values(), 1.0)
    outcome = Outcome({"RefineFuse": row, "<b>|x": row}, ("a < b",))
    html, markdown = html_page(small, outcome), markdown_page(small, outcome)
    assert "&lt;b&gt;|x" in html and "<b>" not in html and "a &lt; b" in html
    assert "-11.73" in html and "-11.73" in markdown and "--quick" in html
    assert "<b>\\|x" in markdown
    assert "http" not in html
    whole = replace(small, paper=PAPER)
    assert "--quick" not in markdown_page(whole, outcome)
