"""Schedules beside torch's own, optimisers by name, and the mean of weights."""

import pytest

torch = pytest.importorskip("torch", reason="training dependencies are not installed")

from training_samples import config

from ivfusion_ros.training.fusion.config import OptimizerConfig, ScheduleConfig
from ivfusion_ros.training.fusion.optimizer import Schedule, WeightAverage, make_optimizer
from ivfusion_ros.training.fusion.pace import Pace, in_words

STEPS = 50


def rates(schedule, optimizer, momenta=False):
    """What torch's scheduler gives at each step."""
    found = []
    for _ in range(STEPS):
        group = optimizer.param_groups[0]
        found.append((group["lr"], group["betas"][0]) if momenta else group["lr"])
        optimizer.step()
        schedule.step()
    return found


def own(momenta=False, epoch=5.0, **changes):
    settings = config(learning_rate=0.01, schedule=ScheduleConfig(**changes))
    schedule = Schedule(settings, STEPS, epoch)
    return [(schedule.rate(n), schedule.momentum(n)) if momenta else schedule.rate(n) for n in range(STEPS)]


def weights():
    return [torch.nn.Parameter(torch.zeros(3))]


def test_one_cycle_is_torch_s() -> None:
    optimizer = torch.optim.AdamW(weights(), 0.01)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=STEPS, pct_start=0.1)
    expected = rates(theirs, optimizer, momenta=True)
    for mine, other in zip(own(momenta=True), expected, strict=True):
        assert mine == pytest.approx(other)


def test_cosine_is_torch_s() -> None:
    optimizer = torch.optim.SGD(weights(), 0.01)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS - 1, eta_min=1e-4)
    assert own(name="cosine", end=0.01) == pytest.approx(rates(theirs, optimizer))


def test_step_is_torch_s_and_exponential_goes_through_it() -> None:
    optimizer = torch.optim.SGD(weights(), 0.01)
    theirs = torch.optim.lr_scheduler.StepLR(optimizer, 10, gamma=0.5)
    step = own(name="step", decay=0.5, decay_epochs=2.0)
    assert step == pytest.approx(rates(theirs, optimizer))
    smooth = own(name="exponential", decay=0.5, decay_epochs=2.0)
    assert smooth[::10] == pytest.approx(step[::10]) and smooth[5] == pytest.approx(0.01 * 0.5**0.5)


def test_constant_and_warm_up() -> None:
    assert own(name="constant") == [0.01] * STEPS
    warm = own(name="constant", warm_up=4)
    assert warm[:5] == pytest.approx([0.0025, 0.005, 0.0075, 0.01, 0.01])


@pytest.mark.parametrize(
    ("name", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)]
)
def test_optimisers_have_what_was_asked_for(name, kind) -> None:
    settings = config(
        learning_rate=0.5, weight_decay=0.25, optimizer=OptimizerConfig(name, 0.7, 0.8),
        schedule=ScheduleConfig("constant"),
    )  # fmt: skip
    optimizer = make_optimizer(weights(), settings)
    assert type(optimizer) is kind
    Schedule(settings, 10, 1.0).apply(optimizer, 0)
    group = optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.5, 0.25)
    assert group.get("betas", (group.get("momentum"), 0.8)) == (0.7, 0.8)


def test_the_mean_of_weights_follows_them() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(network.weight)
    average = WeightAverage(network, 0.5)
    values, expected = [1.0, 3.0, -2.0, 5.0], 0.0
    for step, value in enumerate(values):
        torch.nn.init.constant_(network.weight, value)
        average.update(network, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
        assert average.network.weight.item() == pytest.approx(expected)
    assert network.weight.requires_grad and not average.network.weight.requires_grad


def test_time_left_counts_validations() -> None:
    pace = Pace()
    assert pace.left_s(100, 2) == 0
    for _ in range(200):
        pace.add_step(9.0)
    for _ in range(100):
        pace.add_step(0.5)
    pace.add_validation(30)
    assert pace.left_s(100, 2) == pytest.approx(50 + 60)
    told = [in_words(seconds) for seconds in (45, 700, 11400, 187200)]
    assert told == ["45 s", "12 min", "3 h 10 min", "2 d 4 h"]
