"""What decides which moments are mined."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MineSettings:
    """every_s: at most one moment of so many seconds. most: of a recording. sure: a score."""

    every_s: float = 1.0
    most: int = 20
    sure: float = 0.5
