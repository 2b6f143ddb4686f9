"""Where the time of networks goes: layers summed by kind, beside what the machine could do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ivfusion_ros.backends.layers import Layer
    from ivfusion_ros.evaluation.speed.roofline import Peak

MOST_ROWS = 12
"""Kinds that are told one by one; the rest is one row."""
REST = "others"


@dataclass
class Kind:
    """Layers of one kind: how many, ms, multiply-adds and bytes; None where the backend does not tell."""

    name: str
    layers: int = 0
    milliseconds: float = 0.0
    multiply_adds: int | None = 0
    moved_bytes: int | None = 0

    def add(self, layers: int, ms: float, multiply_adds: int | None, moved_bytes: int | None) -> None:
        """Count layers in."""
        self.layers += layers
        self.milliseconds += ms
        self.multiply_adds = _sum(self.multiply_adds, multiply_adds)
        self.moved_bytes = _sum(self.moved_bytes, moved_bytes)

    def row(self, total_ms: float, peak: Peak | None) -> dict[str, Any]:
        """For JSON: ms, share of total_ms, work, and the share of the shortest time at the peak."""
        found: dict[str, Any] = {
            "layers": self.layers,
            "ms": round(self.milliseconds, 4),
            "share": round(self.milliseconds / total_ms, 4) if total_ms else 0.0,
            "multiply_adds": self.multiply_adds,
            "moved_bytes": self.moved_bytes,
        }
        if peak is not None and self.multiply_adds is not None and self.moved_bytes is not None:
            least_ms = peak.least_ms(self.multiply_adds, self.moved_bytes)
            found["least_ms"] = round(least_ms, 4)
            found["share_of_peak"] = round(least_ms / self.milliseconds, 4) if self.milliseconds else None
        return found


def by_kind(layers: Iterable[Layer], peak: Peak | None = None) -> dict[str, dict[str, Any]]:
    """Kind -> its row (see Kind.row), longest first; beyond MOST_ROWS all in REST."""
    kinds: dict[str, Kind] = {}
    for layer in layers:
        kind = kinds.setdefault(layer.kind, Kind(layer.kind))
        kind.add(1, layer.milliseconds, layer.multiply_adds, layer.moved_bytes)
    ordered = sorted(kinds.values(), key=lambda kind: -kind.milliseconds)
    told, others = ordered[:MOST_ROWS], ordered[MOST_ROWS:]
    if others:
        rest = Kind(REST)
        for kind in others:
            rest.add(kind.layers, kind.milliseconds, kind.multiply_adds, kind.moved_bytes)
        told.append(rest)
    total_ms = sum(kind.milliseconds for kind in ordered)
    return {kind.name: kind.row(total_ms, peak) for kind in told}


def _sum(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else left + right
