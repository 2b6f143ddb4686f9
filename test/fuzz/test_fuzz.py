"""The short form of `make fuzz`: the same inputs each time, in this process."""

import pytest

for library in ("onnx", "mcap", "av"):
    pytest.importorskip(library)

from fuzz_kinds import KINDS
from fuzz_run import attempt

INPUTS = {"bags": 60, "films": 15, "models": 80, "checkpoints": 15, "metadata": 15}


@pytest.mark.parametrize("name", KINDS)
def test_damaged_inputs_are_used_or_refused(name: str, tmp_path) -> None:
    if name == "checkpoints":
        pytest.importorskip("torch")
    (tmp_path / "seeds").mkdir()
    (tmp_path / "inputs").mkdir()
    kind = KINDS[name]
    seeds = kind.seeds(tmp_path / "seeds")
    for number in range(INPUTS.get(name, 50)):
        outcome = attempt(kind, seeds, tmp_path / "inputs", f"{name}-short-{number}")
        assert outcome in ("used", "refused"), f"{name}-short-{number}: {outcome}"
