"""MDA: the authors' weights and outputs, the graph at any size, and the import of their checkpoint."""

import pickle
import pickletools
import zipfile
from pathlib import Path

import numpy as np
import pytest
from places import SHARED
from training_samples import pair_folder

torch = pytest.importorskip("torch", reason="training dependencies are not installed")

from captures import shared_captures

from ivfusion_ros.backends import load_backend
from ivfusion_ros.cli import main
from ivfusion_ros.errors import ConfigError, ModelError
from ivfusion_ros.networks import make_network
from ivfusion_ros.networks.checkpoint import load_checkpoint, load_weights
from ivfusion_ros.networks.graph import FusionGraph
from ivfusion_ros.networks.mda import MDA, UNUSED, published_weights
from ivfusion_ros.networks.published import RANGES, import_published, measure_range, read_published
from ivfusion_ros.pipeline.fuser import Fuser

REFERENCE = SHARED / "reference"
CHECKPOINT = REFERENCE / "mda_fusion_model.pth"
needs_reference = pytest.mark.skipif(
    not CHECKPOINT.is_file(), reason="the authors' checkpoint is not beside the project"
)


def published_state() -> dict:
    """A checkpoint as the authors save it, with random weights and their NumPy loss curve."""
    torch.manual_seed(0)
    model = {name: value for name, value in MDA().state_dict().items() if name not in ("gain", "offset")}
    model |= {f"{prefix}0.weight": torch.zeros(3) for prefix in UNUSED}
    return {"model": model, "train_loss": [np.float64(1.5)], "lr": 1e-5}


@needs_reference
def test_published_weights_give_the_published_outputs() -> None:
    network = MDA().eval()
    network.load_state_dict(read_published("mda", CHECKPOINT))
    with np.load(REFERENCE / "mda_golden.npz") as golden:
        for index in range(2):
            thermal, visible = (
                torch.from_numpy(golden[f"{name}_{index}"]) for name in ("thermal", "visible")
            )
            with torch.no_grad():
                fused = network(thermal, visible).numpy()
            assert np.abs(fused - golden[f"fused_{index}"]).max() < 1e-5


@needs_reference
def test_parameters_of_the_published_file_are_all_accounted_for() -> None:
    kept = sum(weight.numel() for weight in read_published("mda", CHECKPOINT).values())
    assert kept == sum(weight.numel() for weight in MDA().parameters()) == 484_214
    # Three transposed convolutions of 32 to 32 channels, two PReLUs, two 1x1 convolutions of 64 to 32.
    idle = 3 * (32 * 32 * 9 + 32) + 2 * 1 + 2 * (64 * 32 + 32)
    assert kept + idle == 516_120


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    """An ONNX model made by import and export of the authors' file, or of one like it."""
    folder = tmp_path_factory.mktemp("mda")
    source = CHECKPOINT
    if not source.is_file():
        source = folder / "authors.pth"
        torch.save(published_state(), source)
    assert main(["import", "mda", str(source), str(folder / "mda.pt")]) == 0
    with shared_captures():
        assert main(["export", str(folder / "mda.pt"), str(folder / "mda.onnx")]) == 0
    return folder / "mda.onnx"


@needs_reference
def test_import_then_export_gives_the_published_outputs_stretched(exported) -> None:
    fuser = Fuser(load_backend(exported, "onnxruntime"))
    low, high = RANGES["mda"]
    with np.load(REFERENCE / "mda_golden.npz") as golden:
        for index in range(2):
            thermal, visible = (
                np.rint(golden[f"{name}_{index}"][0, 0] * 255).astype(np.uint8)
                for name in ("thermal", "visible")
            )
            fused = golden[f"fused_{index}"][0, 0]
            expected = 255 * np.clip((fused - low) / (high - low), 0, 1)
            found = fuser(thermal, np.stack([visible] * 3, -1)).astype(float)
            assert np.abs(found - expected[..., None]).max() <= 1.5
            assert np.ptp(found) > 0.55 * 255 > 2 * 255 * np.ptp(fused)


def known_range(tmp_path: Path, low: float, high: float) -> Path:
    """The authors' file of a network that copies the visible image into low..high, as good as linearly."""
    network = MDA()
    for weight in network.parameters():
        torch.nn.init.zeros_(weight)
    with torch.no_grad():
        # Visible at full resolution passes through 1x-1x: zero maps are sigmoid(0) squared, a quarter.
        network.input.weight[0, 0, 1, 1] = 1
        network.downsample_1x.down_conv[0].weight[0, 0, 1, 1] = 1
        network.downsample_1x.down_conv[1].weight[0, 0, 1, 1] = 1
        network.output[0].weight[0, 0, 1, 1] = 4
        # Of the sum of thermal and visible, 0 to 2, through the slope of tanh near 0, a half.
        network.output[1].weight[0, 0, 1, 1] = high - low
        network.output[1].bias[0] = 2 * (low - 0.5)
    path = tmp_path / "known.pth"
    torch.save(
        {
            "model": {
                name: value
                for name, value in network.state_dict().items()
                if name not in ("gain", "offset")
            }
        },
        path,
    )
    return path


def constant_pairs(levels: list[int]) -> list[np.ndarray]:
    return [np.full((2, 9, 15), level, np.uint8) for level in levels]


def test_a_known_range_is_measured_and_taken_out(tmp_path) -> None:
    source = known_range(tmp_path, 0.48, 0.52)
    raw = MDA().eval()
    raw.load_state_dict(read_published("mda", source))
    levels = list(range(0, 256, 5))
    low, high = measure_range(raw, constant_pairs(levels))
    # The lowest and highest 5 % of 52 pairs are cut.
    assert (low, high) == pytest.approx((0.482, 0.518), abs=2e-4)
    network, found = import_published("mda", source, constant_pairs(levels))
    assert found == (low, high)
    ramp = torch.linspace(0, 1, 16).repeat_interleave(16).view(1, 1, 16, 16)
    with torch.no_grad():
        fused = network.eval()(ramp, ramp)
    assert fused[0, 0, 3:13].numpy() == pytest.approx(((ramp[0, 0, 3:13] - 0.05) / 0.9).numpy(), abs=0.01)
    assert fused.min() == 0 and fused.max() == 1


def test_all_frames_are_stretched_alike(tmp_path) -> None:
    """A hot object that comes into view must not darken the rest, as an image's own range would do."""
    network, _ = import_published("mda", known_range(tmp_path, 0.45, 0.55), None)
    before = torch.full((1, 1, 16, 64), 0.3)
    after = before.clone()
    after[..., 48:] = 1.0
    with torch.no_grad():
        first, second = (network.eval()(frame, frame) for frame in (before, after))
    assert torch.equal(first[..., :32], second[..., :32])


def test_pairs_without_a_range_are_refused(tmp_path) -> None:
    source = known_range(tmp_path, 0.5, 0.5)
    with pytest.raises(ModelError, match=r"from 0\.500 to 0\.500 on these pairs: there is nothing"):
        import_published("mda", source, constant_pairs([10, 200]))


def test_import_measures_on_the_folders_that_it_is_given(tmp_path, capsys) -> None:
    source, folder = known_range(tmp_path, 0.48, 0.52), pair_folder(tmp_path / "pairs")
    words = ["import", "mda", str(source), str(tmp_path / "ours.pt"), "--data", str(folder)]
    assert main(words) == 0
    assert "as measured on 12 pairs" in capsys.readouterr().err
    state = load_checkpoint(tmp_path / "ours.pt")
    low, high = state["provenance"]["range"]
    assert 0.48 < low < high < 0.52 and len(state["provenance"]["init"]["sha256"]) == 64
    network = MDA()
    load_weights(network, tmp_path / "ours.pt")
    assert network.gain.item() == pytest.approx(0.5 / (high - low))


def test_files_without_a_range_load_as_before() -> None:
    torch.manual_seed(0)
    old = {name: value for name, value in MDA().state_dict().items() if name not in ("gain", "offset")}
    network = FusionGraph(MDA())
    network.load_state_dict({f"network.{name}": value for name, value in old.items()})
    assert (network.network.gain.item(), network.network.offset.item()) == (0.5, 0.5)


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_backends_agree(exported, backend) -> None:
    pytest.importorskip(backend)
    random = np.random.default_rng(0)
    thermal, rgb = (
        random.integers(0, 256, (37, 50), np.uint8),
        random.integers(0, 256, (37, 50, 3), np.uint8),
    )
    reference = Fuser(load_backend(exported, "onnxruntime"))(thermal, rgb)
    other = Fuser(load_backend(exported, backend, precision="f32"))(thermal, rgb)
    assert np.abs(other.astype(int) - reference).max() <= 1


@pytest.mark.parametrize("size", [(8, 8), (9, 15), (33, 50), (40, 48), (1, 1)])
def test_any_size_comes_back(size) -> None:
    graph = FusionGraph(make_network("mda")).eval()
    thermal = torch.randint(0, 256, (1, *size), dtype=torch.uint8)
    rgb = torch.randint(0, 256, (1, *size, 3), dtype=torch.uint8)
    with torch.no_grad():
        assert graph(thermal, rgb).shape == rgb.shape


def test_the_stride_is_the_smallest_that_works() -> None:
    network = MDA().eval()
    with torch.no_grad():
        assert network(*torch.rand(2, 1, 1, 24, 40)).shape == (1, 1, 24, 40)
        with pytest.raises(RuntimeError):
            network(*torch.rand(2, 1, 1, 20, 40))


def test_features_have_the_scales_that_their_names_say() -> None:
    features = MDA().features(*torch.rand(2, 1, 1, 32, 48))
    assert [tuple(f.shape[1:]) for f in features.thermal] == [(32, 32, 48), (32, 16, 24), (32, 8, 12)]
    assert [f.shape[-1] for f in features.visible] == [48, 24, 12]
    assert [f.shape[-1] for f in features.fused] == [48, 48, 24, 24, 12]


def test_both_images_are_encoded_alike_and_each_pair_alone() -> None:
    network = MDA().eval()
    images = torch.rand(3, 1, 16, 16)
    with torch.no_grad():
        same = network.features(images, images)
        assert all(torch.equal(t, v) for t, v in zip(same.thermal, same.visible, strict=True))
        together = network(images, images.flip(0))
        alone = network(images[:1], images[2:])
    assert torch.allclose(together[:1], alone, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: model.pop("input.bias"), "lacks 1 layers such as input.bias"),
        (
            lambda model: model.update({"head.bias": torch.zeros(1)}),
            "unexpected 1 layers such as head.bias",
        ),
        (
            lambda model: model.update({"input.bias": torch.zeros(5)}),
            r"input.bias is \(5,\), expected .*32",
        ),
        (lambda model: model.update({"input.bias": 3}), "input.bias is int"),
    ],
)
def test_other_layers_are_refused(change, message) -> None:
    state = published_state()
    MDA().load_state_dict(published_weights(state))
    change(state["model"])
    with pytest.raises(ModelError, match=message):
        published_weights(state)


def test_a_checkpoint_without_model_is_refused() -> None:
    with pytest.raises(ModelError, match="the keys weights, expected `model`"):
        published_weights({"weights": {}})


def test_import_writes_a_checkpoint_that_loads(tmp_path, capsys) -> None:
    state = published_state()
    torch.save(state, tmp_path / "authors.pth")
    assert main(["import", "mda", str(tmp_path / "authors.pth"), str(tmp_path / "ours.pt")]) == 0
    assert load_checkpoint(tmp_path / "ours.pt")["network"] == "mda"
    network = MDA()
    load_weights(network, tmp_path / "ours.pt")
    assert torch.equal(network.input.weight, state["model"]["input.weight"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["authors.pth", "ours.pt"]


class Harmful:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_import_never_runs_what_a_file_says(tmp_path, capsys) -> None:
    torch.save({"model": Harmful(tmp_path / "ran")}, tmp_path / "bad.pth")
    with zipfile.ZipFile(tmp_path / "bad.pth") as archive:
        code = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
    assert any(op.name == "REDUCE" for op, _, _ in pickletools.genops(code))
    assert (
        main(["import", "mda", str(tmp_path / "bad.pth"), str(tmp_path / "out.pt")]) == ModelError.exit_code
    )
    assert "bad.pth is not a checkpoint that can be loaded safely" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists() and not (tmp_path / "out.pt").exists()


def test_import_names_what_is_wrong(tmp_path, capsys) -> None:
    (tmp_path / "text.pth").write_text("no checkpoint")
    (tmp_path / "old.pth").write_bytes(pickle.dumps([1, 2], protocol=2))
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"network": "refinefuse", "weights": {}}, tmp_path / "other.pth")
    out = str(tmp_path / "out.pt")
    for name, file, message, error in (
        ("mda", "missing.pth", "no checkpoint at", ModelError),
        ("mda", "text.pth", "no file of torch.save", ModelError),
        ("mda", "old.pth", "no file of torch.save", ModelError),
        ("mda", "list.pth", "holds a list, expected a dictionary", ModelError),
        ("mda", "other.pth", "keys network, weights, expected `model`", ModelError),
        ("refinefuse", "list.pth", "'refinefuse' are known, expected mda", ConfigError),
    ):
        assert main(["import", name, str(tmp_path / file), out]) == error.exit_code, file
        text = capsys.readouterr().err
        assert any(part in text for part in message.split("|")), text
        assert "Traceback" not in text
    assert not Path(out).exists()
