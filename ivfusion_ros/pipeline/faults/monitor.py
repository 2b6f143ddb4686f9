"""FaultMonitor: what is wrong with the cameras, and how much each one's image is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ivfusion_ros.pipeline.faults.freeze import Freeze
from ivfusion_ros.pipeline.faults.look import Look, look
from ivfusion_ros.types import FaultReport

if TYPE_CHECKING:
    from ivfusion_ros.config.pipeline import FaultConfig
    from ivfusion_ros.types import Frame

LABELS = (
    "thermal_shutter",
    "thermal_frozen",
    "thermal_flat",
    "rgb_frozen",
    "rgb_dark",
    "rgb_saturated",
    "rgb_flat",
)
"""shutter: a short freeze; frozen: a long one; flat: no structure beyond noise (covered or fogged lens,
uniform image); dark, saturated: flat or clipped, at that end."""

_DARK_BELOW, _BRIGHT_ABOVE = 64.0, 192.0
_MAX_RATIO = 1.5
"""A measure this many times its limit (or its limit this many times the measure) has a weight of 0."""
_MAX_STEP_S = 0.5
_END_BADNESS = 0.25
_START_BADNESS = 0.5
_SHUTTER_BADNESS = 0.5
"""A shutter event lasts some tenths of a second: at night its old image still shows people about where they
are, and without it they would be gone."""


class _Fault:
    """A fault that must last to begin and to end."""

    def __init__(self) -> None:
        self.present = False
        self._since_s = 0.0

    def update(self, badness: float, elapsed_s: float, hold_s: float) -> None:
        turning = badness < _END_BADNESS if self.present else badness >= _START_BADNESS
        self._since_s = self._since_s + elapsed_s if turning else 0.0
        if turning and self._since_s >= (2.0 * hold_s if self.present else hold_s):
            self.present, self._since_s = not self.present, 0.0


class FaultMonitor:
    """Judges the pairs of one rig in the order of their stamps; about half a millisecond a pair."""

    def __init__(self, config: FaultConfig) -> None:
        self._config = config
        self.reset()

    def set_config(self, config: FaultConfig) -> None:
        """Take over other parameters from the next pair on."""
        self._config = config

    def reset(self) -> None:
        """Forget everything: both cameras are sound until shown otherwise."""
        self._stamp_ns: int | None = None
        self._weights = {"thermal": 1.0, "rgb": 1.0}
        self._freezes = {"thermal": Freeze(), "rgb": Freeze()}
        self._faults = {label: _Fault() for label in LABELS}

    def update(self, thermal: Frame, rgb: Frame, *, held: bool = False) -> FaultReport:
        """Take a pair as the cameras sent it. An RGB stamp that jumps back starts over.

        held: the thermal frame was in an earlier pair, which is no freeze of its camera.
        """
        stamp_ns = int(rgb.stamp_ns)
        if self._stamp_ns is not None and stamp_ns < self._stamp_ns:
            self.reset()
        elapsed_s = 0.0 if self._stamp_ns is None else (stamp_ns - self._stamp_ns) / 1e9
        elapsed_s = min(elapsed_s, _MAX_STEP_S)
        self._stamp_ns = stamp_ns
        thermal_look, rgb_look = look(thermal), look(rgb)
        if not held:
            self._freezes["thermal"].update(thermal_look, rgb_look, stamp_ns)
        self._freezes["rgb"].update(rgb_look, thermal_look, stamp_ns)
        badness = {**self._content(thermal_look, rgb_look), **self._repetition()}
        for label, fault in self._faults.items():
            if label in badness and not _is_freeze(label):
                fault.update(badness[label], elapsed_s, self._config.hold_s)
        labels = tuple(label for label in LABELS if self._is_present(label, badness))
        for camera in self._weights:
            worst = max((badness[label] for label in labels if label.startswith(camera)), default=0.0)
            self._fade(camera, 1.0 - worst if self._config.gate else 1.0, elapsed_s)
        return FaultReport(labels, self._weights["thermal"], self._weights["rgb"])

    def _is_present(self, label: str, badness: dict[str, float]) -> bool:
        return label in badness if _is_freeze(label) else self._faults[label].present

    def _content(self, thermal: Look, rgb: Look) -> dict[str, float]:
        """Badness, 0 to 1, of the pictures themselves; 0.5 is the configured limit."""
        config = self._config
        flat = _badness(config.least_contrast, rgb.contrast)
        dark, bright = rgb.mean < _DARK_BELOW, rgb.mean > _BRIGHT_ABOVE
        clipped = _badness(rgb.clipped, config.largest_clipped)
        return {
            "thermal_flat": _badness(config.least_contrast, thermal.contrast),
            "rgb_dark": flat if dark else 0.0,
            "rgb_saturated": max(clipped, flat if bright else 0.0),
            "rgb_flat": 0.0 if dark or bright else flat,
        }

    def _repetition(self) -> dict[str, float]:
        """Badness of the freezes that there are."""
        config, found = self._config, {}
        for camera, freeze in self._freezes.items():
            if freeze.seconds * 1e3 > config.frozen_after_ms and freeze.certain:
                short = camera == "thermal" and freeze.seconds * 1e3 <= config.shutter_ms
                found[f"{camera}_{'shutter' if short else 'frozen'}"] = freeze.stale * (
                    _SHUTTER_BADNESS if short else 1.0
                )
        return found

    def _fade(self, camera: str, target: float, elapsed_s: float) -> None:
        """Towards the target at a limited rate, so that nothing flickers; it arrives exactly."""
        step = elapsed_s / self._config.fade_s if self._config.fade_s > 0 else 1.0
        weight = self._weights[camera]
        self._weights[camera] = (
            min(target, weight + step) if target > weight else max(target, weight - step)
        )


def _is_freeze(label: str) -> bool:
    return label.endswith(("_shutter", "_frozen"))


def _badness(measure: float, limit: float) -> float:
    """0.5 where a measure is at its limit, 0 and 1 where it is _MAX_RATIO times less and more."""
    if measure <= 0 or limit <= 0:
        return 1.0 if measure > limit else 0.0
    ratio = measure / limit
    if ratio < 1.0:
        return max(0.0, 0.5 * (ratio - 1.0 / _MAX_RATIO) / (1.0 - 1.0 / _MAX_RATIO))
    return min(1.0, 0.5 + 0.5 * (ratio - 1.0) / (_MAX_RATIO - 1.0))
