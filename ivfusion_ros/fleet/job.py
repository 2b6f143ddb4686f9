"""What is done to each recording: all that decides what its result is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import ivfusion_ros
from ivfusion_ros.config.parameters import make_config
from ivfusion_ros.config.pipeline import PipelineConfig
from ivfusion_ros.fleet.moments import MOMENTS
from ivfusion_ros.models import file_sha256, resolve_model
from ivfusion_ros.pipeline.build import model_names

if TYPE_CHECKING:
    from collections.abc import Mapping

BAG, FIGURES = "fused.mcap", "figures.json"


@dataclass(frozen=True)
class Job:
    """A configuration and the models' hashes: results of equal jobs are the same.

    thermal_topic, rgb_topic: None to guess. compressed: fused images as JPEG. detections: a table of
    moments beside each result, which it changes nothing of. piece_minutes: of longer recordings, which are
    cut, 0 for none.
    """

    config: PipelineConfig
    thermal_topic: str | None = None
    rgb_topic: str | None = None
    compressed: bool = False
    detections: bool = False
    piece_minutes: float = 0.0
    models: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        """Raises ModelError for models that there are not, or for something else, BackendError."""
        names = model_names(self.config)
        hashes = {name: file_sha256(resolve_model(name, task)) for task, name in names.items()}
        object.__setattr__(self, "models", hashes)

    def describe(self) -> dict[str, Any]:
        """All that decides the results, for machines."""
        parts = json.loads(json.dumps(asdict(self), default=str))
        del parts["detections"]
        if not self.piece_minutes:
            del parts["piece_minutes"]
        return {"version": ivfusion_ros.__version__, **parts}

    @property
    def outputs(self) -> tuple[str, ...]:
        """Files of a result, in the order in which they are put: one that has the last has all."""
        return (BAG, *((MOMENTS,) if self.detections else ()), FIGURES)

    @classmethod
    def described(cls, description: Mapping[str, Any]) -> Job:
        """What `describe` gave, with the models that this machine has. Raises ConfigError, as __init__."""
        config = make_config(PipelineConfig, description.get("config", {}), "job.json")
        topics = description.get("thermal_topic"), description.get("rgb_topic")
        return cls(config, *topics, bool(description.get("compressed")))

    @property
    def identity(self) -> str:
        """12 hexadecimal digits: another configuration or model has others."""
        return hashlib.sha256(json.dumps(self.describe(), sort_keys=True).encode()).hexdigest()[:12]
