"""MDA's loss: each term against numpy, scipy or scikit-image, and training with and without VGG."""

import copy
import sys
from types import SimpleNamespace
from urllib.error import URLError

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training dependencies are not installed")

from scipy import ndimage
from skimage.measure import shannon_entropy
from skimage.metrics import structural_similarity
from torch import nn

from ivfusion_ros.config.parameters import load_config
from ivfusion_ros.errors import BackendError, ConfigError, ModelError
from ivfusion_ros.models import share_folder
from ivfusion_ros.networks.mda import MDA, Features
from ivfusion_ros.training.fusion.config import TrainConfig
from ivfusion_ros.training.fusion.loss_config import MdaLossConfig
from ivfusion_ros.training.fusion.losses import make_loss
from ivfusion_ros.training.fusion.losses.base import Batch, Outputs
from ivfusion_ros.training.fusion.losses.mda import (
    MdaLoss,
    feature_loss,
    patch_loss,
    style_loss,
    vgg_blocks,
)
from ivfusion_ros.training.fusion.losses.mda_measures import (
    detail_measure,
    entropy,
    intensity_measure,
    log_response,
)
from ivfusion_ros.training.fusion.losses.ms_ssim import ms_ssim
from ivfusion_ros.training.fusion.trainer import Trainer
from ivfusion_ros.training.fusion.vgg import vgg_convolutions


def pictures(count: int, side: int, seed: int = 0) -> torch.Tensor:
    """(count, 1, side, side) in [0, 1]: blurred noise of several scales."""
    random = np.random.default_rng(seed)
    noise = random.normal(size=(count, 1, side, side))
    smooth = sum(ndimage.gaussian_filter(noise, (0, 0, s, s)) * s for s in (1, 3, 8))
    return torch.from_numpy((0.5 + 0.25 * smooth).clip(0, 1).astype(np.float32))


def batch_of(thermal: torch.Tensor, visible: torch.Tensor) -> Batch:
    labels = torch.full(thermal.shape, 255, dtype=torch.uint8)
    means = (image.mean((1, 2, 3), keepdim=True) for image in (thermal, visible))
    return Batch(thermal, visible, labels, *means)


def log_kernel() -> np.ndarray:
    """Laplacian of Gaussian, sigma 1.4, 9x9, -40 in the middle, its directions summing to 0 each."""
    x = np.arange(-4, 5)
    g = np.exp(-(x**2) / (2 * 1.4**2))
    second = (x**2 / (2 * 1.4**2) - 0.5) * g
    second -= second.mean()
    return 40 * (np.outer(second, g) + np.outer(g, second))


def log_of(image: np.ndarray) -> np.ndarray:
    return ndimage.correlate(image.astype(float) * 255, log_kernel(), mode="nearest")


@pytest.fixture(scope="module")
def vgg() -> nn.Sequential:
    """VGG-16's convolutions, as torchvision lays them out, with random weights."""
    torch.manual_seed(0)
    layers, channels = [], 3
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers).eval().requires_grad_(False)


def put_torchvision(monkeypatch, load) -> None:
    """A torchvision whose VGGs `load(weights)` makes; the installed one may not fit the installed torch."""
    members = {}
    for depth in (16, 19):
        weights = SimpleNamespace(url=f"https://example.org/vgg{depth}.pth")
        members |= {f"VGG{depth}_Weights": SimpleNamespace(IMAGENET1K_V1=weights), f"vgg{depth}": load}
    monkeypatch.setitem(sys.modules, "torchvision.models", SimpleNamespace(**members))


@pytest.fixture
def loaded_vgg(vgg, monkeypatch) -> nn.Sequential:
    """torchvision gives `vgg` in place of what it would download."""
    fresh = copy.deepcopy(vgg).train().requires_grad_(True)
    put_torchvision(monkeypatch, lambda *, weights: SimpleNamespace(features=fresh))
    return fresh


def test_log_kernel_is_the_laplacian_of_a_gaussian() -> None:
    impulse = torch.zeros(1, 1, 21, 21)
    impulse[0, 0, 10, 10] = 1 / 255
    kernel = log_response(impulse)[0, 0, 6:15, 6:15].numpy()
    y, x = np.mgrid[-4:5, -4:5]
    q = (x**2 + y**2) / (2 * 1.4**2)
    assert np.abs(kernel - 40 * (q - 1) * np.exp(-q)).max() < 0.2
    assert kernel.sum() == pytest.approx(0, abs=1e-3)


def test_log_response_matches_scipy_channel_by_channel() -> None:
    maps = pictures(6, 24).view(2, 3, 24, 24)[..., :20]
    found = log_response(maps).numpy()
    for image, channel in np.ndindex(2, 3):
        assert found[image, channel] == pytest.approx(log_of(maps[image, channel].numpy()), abs=0.1)
    assert detail_measure(maps).numpy() == pytest.approx((found**2).mean((1, 2, 3)), rel=1e-4)
    assert log_response(torch.full((1, 1, 12, 12), 0.7)).abs().max() < 0.05


def test_intensity_measure_is_entropy_and_deviation() -> None:
    maps = pictures(6, 32).view(2, 3, 32, 32)
    grey = (maps.numpy() * 255).astype(np.uint8)
    expected = [np.mean([shannon_entropy(channel, base=np.e) for channel in image]) for image in grey]
    assert entropy(maps).numpy() == pytest.approx(expected, rel=1e-5)
    expected += 0.167 * (maps.numpy() * 255).std((2, 3)).mean(1)
    assert intensity_measure(maps, 0.167).numpy() == pytest.approx(expected, rel=1e-5)
    assert entropy(torch.ones(1, 2, 8, 8)).item() == 0


def test_ms_ssim_of_one_scale_is_ssim() -> None:
    a, b = pictures(2, 16).split(1)
    expected = structural_similarity(
        a[0, 0].numpy(), b[0, 0].numpy(), data_range=1, gaussian_weights=True, use_sample_covariance=False
    )
    assert ms_ssim(a, b).item() == pytest.approx(expected, rel=1e-4)


def numpy_ms_ssim(a: np.ndarray, b: np.ndarray, weights: list[float]) -> float:
    def mean(image):
        return ndimage.gaussian_filter(image, 1.5, truncate=3.5)[5:-5, 5:-5]

    product = 1.0
    for scale, weight in enumerate(weights):
        if scale:
            a, b = (i.reshape(len(i) // 2, 2, -1, 2).mean((1, 3)) for i in (a, b))
        ma, mb = mean(a), mean(b)
        structure = (2 * (mean(a * b) - ma * mb) + 9e-4) / (
            mean(a * a) - ma**2 + mean(b * b) - mb**2 + 9e-4
        )
        if scale == len(weights) - 1:
            structure = structure * (2 * ma * mb + 1e-4) / (ma**2 + mb**2 + 1e-4)
        product *= structure.mean() ** (weight / sum(weights))
    return product


@pytest.mark.parametrize(("side", "scales"), [(176, 5), (128, 4), (64, 3), (32, 2)])
def test_ms_ssim_takes_the_scales_that_fit(side, scales) -> None:
    a = pictures(2, side)
    b = 0.7 * a + 0.3 * pictures(2, side, seed=1)
    weights = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333][:scales]
    pairs = zip(a[:, 0].double().numpy(), b[:, 0].double().numpy(), strict=True)
    expected = [numpy_ms_ssim(one, other, weights) for one, other in pairs]
    assert ms_ssim(a, b).numpy() == pytest.approx(expected, rel=1e-4)


def test_ms_ssim_of_equal_and_opposite_images() -> None:
    a = pictures(1, 48)
    assert ms_ssim(a, a).item() == pytest.approx(1, abs=1e-5)
    opposite = (1 - a).requires_grad_(True)
    value = ms_ssim(a, opposite)
    value.sum().backward()
    assert 0 <= value.item() < 0.1
    assert torch.isfinite(opposite.grad).all()
    with pytest.raises(ValueError, match="at least 11"):
        ms_ssim(a[..., :8], a[..., :8])


def test_patch_loss_matches_numpy() -> None:
    thermal, visible, fused = (image[0, 0].double().numpy() for image in pictures(3, 40).split(1))

    def mean(image):
        # Windows are cut at the border: sums inside over counts inside.
        def add(values):
            return ndimage.uniform_filter(values, 15, mode="constant") * 225

        return add(image) / add(np.ones_like(image))

    details, levels, unlike, errors = [], [], [], []
    for source in (thermal, visible):
        variance = mean(source**2) - mean(source) ** 2
        covariance = mean(source * fused) - mean(source) * mean(fused)
        own = mean(fused**2) - mean(fused) ** 2
        constant = 6.25 / 255**2
        unlike.append(1 - (2 * covariance + constant) / (variance + own + constant))
        errors.append(mean((source - fused) ** 2))
        details.append(np.exp(mean(np.sqrt(mean(log_of(source) ** 2))) / 3000))
        levels.append(np.exp((255 * mean(source) + 0.167 * 255**2 * variance) / 3000))
    expected = 0.0
    for index in range(2):
        expected += (details[index] / sum(details) * unlike[index]).mean()
        expected += 0.2 * (levels[index] / sum(levels) * errors[index]).mean()
    sources = torch.from_numpy(np.stack((thermal, visible))[None]).float()
    found = patch_loss(sources, torch.from_numpy(fused)[None, None].float(), MdaLossConfig()).item()
    assert found == pytest.approx(expected, rel=1e-3)


def random_features(seed: int = 0) -> Features:
    generator = torch.Generator().manual_seed(seed)

    def maps(sides):
        return tuple(torch.rand(1, 2, side, side, generator=generator) for side in sides)

    return Features(maps((24, 12, 6)), maps((24, 12, 6)), maps((24, 24, 12, 12, 6)))


def test_feature_loss_matches_numpy() -> None:
    features = random_features()
    thermal, visible, fused = ([maps.numpy()[0] for maps in group] for group in features)
    expected = 0.0
    for index, (v, t, weight) in enumerate([(0, 0, 8), (0, 1, 8), (1, 1, 2), (1, 2, 2), (2, 2, 1)]):
        own, side = fused[index], fused[index].shape[-1]
        details = [log_of(a) - log_of(b) for a, b in zip(own, visible[v], strict=True)]
        if v != t:
            own = cv2.resize(own.transpose(1, 2, 0), (side // 2,) * 2, interpolation=cv2.INTER_NEAREST)
            own = own.transpose(2, 0, 1)
        expected += weight * (np.square(details).mean() + 20 * np.square(own - thermal[t]).mean())
    assert feature_loss(features, 20).item() == pytest.approx(expected, rel=1e-4)


def test_style_loss_matches_scipy() -> None:
    from scipy.special import rel_entr, softmax

    thermal, fused = 4 * torch.rand(2, 2, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    expected = 0.0
    for wanted, found in zip(thermal.numpy(), fused.numpy(), strict=True):
        rows = [softmax(np.einsum("chw,dhw->cd", f, f) / (5 * 6 * 7), 1) for f in (wanted, found)]
        expected += rel_entr(*rows).sum() / 2
    assert style_loss([thermal], [fused]).item() == pytest.approx(expected, rel=1e-3)
    assert style_loss([thermal, fused], [thermal, fused]).item() == pytest.approx(0, abs=1e-6)


def outputs_of(fused: torch.Tensor) -> Outputs:
    features = random_features()._asdict()
    named = {f"{kind}_{i}": maps for kind, group in features.items() for i, maps in enumerate(group)}
    return Outputs(fused, named)


def test_image_weights_favour_the_richer_source() -> None:
    detailed, flat, fused = pictures(3, 48).split(1)
    flat = 0.5 + 0 * flat
    one = MdaLoss().terms(batch_of(detailed, flat), outputs_of(fused))
    # A flat source has neither detail nor entropy: shares are softmax(2, 0).
    share = np.exp(2) / (np.exp(2) + 1)
    unlike = [1 - ms_ssim(fused, source).item() for source in (detailed, flat)]
    assert one["similarity"].item() == pytest.approx(share * unlike[0] + (1 - share) * unlike[1], rel=1e-3)
    errors = [((fused - source) ** 2).mean().item() for source in (detailed, flat)]
    assert one["intensity"].item() == pytest.approx(
        0.2 * (share * errors[0] + (1 - share) * errors[1]), rel=1e-3
    )
    other = MdaLoss().terms(batch_of(flat, detailed), outputs_of(fused))
    for name in ("similarity", "intensity", "patch"):
        assert other[name].item() == pytest.approx(one[name].item(), rel=1e-5), name


def test_terms_of_a_batch_are_the_mean_of_its_pairs() -> None:
    thermal, visible, fused = pictures(6, 32).split(2)
    together = MdaLoss().terms(batch_of(thermal, visible), outputs_of(fused))
    alone = [
        MdaLoss().terms(batch_of(thermal[i : i + 1], visible[i : i + 1]), outputs_of(fused[i : i + 1]))
        for i in range(2)
    ]
    for name in ("similarity", "intensity", "patch"):
        assert together[name].item() == pytest.approx(np.mean([t[name].item() for t in alone]), rel=1e-4)


def test_vgg_weights_come_from_its_maps_as_grey_levels(vgg) -> None:
    thermal, visible, fused = pictures(3, 32).split(1)
    loss = MdaLoss(vgg)
    terms = loss.terms(batch_of(thermal, visible), outputs_of(fused))
    measures = np.zeros((2, 2))
    for a, b in zip(vgg_blocks(vgg, thermal), vgg_blocks(vgg, visible), strict=True):
        for index, maps in enumerate((a.numpy()[0], b.numpy()[0])):
            entropies = [shannon_entropy((m * 255).astype(np.uint8), base=np.e) for m in maps]
            measures[0, index] += (np.mean(entropies) + 0.167 * (maps * 255).std((1, 2)).mean()) / 2
            measures[1, index] += np.mean([log_of(m) ** 2 for m in maps]) / 2
    intensity, detail = (np.exp((m - m.max()) / 3000) for m in measures)
    errors = [((fused - source) ** 2).mean().item() for source in (thermal, visible)]
    unlike = [1 - ms_ssim(fused, source).item() for source in (thermal, visible)]
    assert terms["intensity"].item() == pytest.approx(0.2 * np.average(errors, weights=intensity), rel=1e-3)
    assert terms["similarity"].item() == pytest.approx(np.average(unlike, weights=detail), rel=1e-3)
    wanted, found = vgg_blocks(vgg, thermal), vgg_blocks(vgg, fused)
    assert terms["style"].item() == pytest.approx(style_loss(wanted, found).item(), abs=1e-7)


def test_vgg_blocks_are_the_released_code_s(vgg) -> None:
    """Its VGG has sigmoids for ReLU, is given grey three times, and ends a block before the pooling."""
    image = pictures(1, 16)
    sigmoids = nn.Sequential(*(nn.Sigmoid() if isinstance(x, nn.ReLU) else x for x in vgg))
    shallow, deep = vgg_blocks(vgg, image)
    assert shallow.shape == (1, 64, 16, 16) and deep.shape == (1, 128, 8, 8)
    grey = torch.cat((image, image, image), 1)
    assert torch.equal(shallow, sigmoids[:4](grey)) and torch.equal(deep, sigmoids[:9](grey))
    assert 0 < deep.min() < deep.max() < 1


@pytest.mark.parametrize("source", ["none", "imagenet"])
def test_every_term_reaches_the_network(source, request) -> None:
    if source == "imagenet":
        request.getfixturevalue("loaded_vgg")
    loss = make_loss(TrainConfig(network="mda", loss="mda", vgg=source))
    network = MDA()
    batch = batch_of(*pictures(2, 32).split(1))
    assert len(list(loss.trained(network))) == len(list(network.parameters()))
    terms = loss.terms(batch, loss.run(network, batch))
    style = {"style"} if source == "imagenet" else set()
    assert terms.keys() == {"similarity", "intensity", "feature", "patch"} | style
    for name, term in terms.items():
        network.zero_grad()
        term.backward(retain_graph=True)
        slope = network.input.weight.grad
        assert slope is not None and torch.isfinite(slope).all() and slope.abs().max() > 0, name


def test_the_loss_falls_when_its_image_is_improved() -> None:
    thermal, visible = pictures(2, 32).split(1)
    batch = batch_of(thermal, visible)
    fused = torch.full_like(thermal, 0.5).requires_grad_(True)
    optimizer = torch.optim.Adam([fused], 0.02)
    totals = []
    for _ in range(20):
        terms = MdaLoss().terms(batch, outputs_of(fused))
        total = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item() - terms["feature"].item())
    assert totals[-1] < 0.6 * totals[0]


def test_the_loss_is_for_its_network_only() -> None:
    with pytest.raises(ConfigError, match="loss mda is for network mda, found Linear"):
        MdaLoss().trained(nn.Linear(1, 1))


def test_a_short_training_runs_and_saves(tmp_path) -> None:
    random = np.random.default_rng(0)
    for name, shape in (("thermal", (48, 48)), ("rgb", (48, 48, 3))):
        (tmp_path / name).mkdir()
        for stem in "ab":
            cv2.imwrite(str(tmp_path / name / f"{stem}.png"), random.integers(0, 256, shape, np.uint8))
    settings = {"iterations": 2, "batch": 1, "crop": 32, "validation_fraction": 0.5, "validate_every": 2}
    config = load_config(TrainConfig, share_folder("config") / "train" / "mda_cpu.yaml", settings)
    trainer = Trainer(config, [tmp_path], tmp_path / "run")
    before = trainer.network.input.weight.clone()
    trainer.fit()
    assert not torch.equal(before, trainer.network.input.weight)
    assert (tmp_path / "run" / "last.pt").is_file()


@pytest.mark.parametrize("name", ["mda", "mda_cpu"])
def test_configs_are_sound(name) -> None:
    config = load_config(TrainConfig, share_folder("config") / "train" / f"{name}.yaml", {})
    assert (config.network, config.loss) == ("mda", "mda")
    assert config.crop[0] % MDA.stride == 0


def test_vgg_is_frozen(loaded_vgg) -> None:
    found = vgg_convolutions(16)
    assert found is loaded_vgg and not found.training
    assert not any(weight.requires_grad for weight in found.parameters())


def test_unreachable_vgg_weights_say_what_to_do(monkeypatch) -> None:
    def fail(*, weights):
        raise URLError(f"no route to {weights.url}")

    put_torchvision(monkeypatch, fail)
    with pytest.raises(ModelError, match=r"VGG-19: tried .*checkpoints, then .*vgg19.pth.*--vgg none"):
        vgg_convolutions(19)


def test_missing_torchvision_says_what_to_do(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(BackendError, match=r"VGG-16 needs torchvision.*--vgg none"):
        make_loss(TrainConfig(network="mda", loss="mda"))
