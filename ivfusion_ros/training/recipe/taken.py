"""What a setting of a stage names: an earlier stage, a file or folder, or a model that ships."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ivfusion_ros.errors import ModelError
from ivfusion_ros.models import ModelTask, read_models, resolve_model


class Taken(NamedTuple):
    """What is taken, by its key in the result of the stage that made it: weights, model or folder.

    tasks: what a model that ships may be for, none for anything.
    """

    key: str
    tasks: tuple[ModelTask, ...] = ()

    def outside(self, reference: str) -> Path:
        """What no stage makes, by path or by a model's name. Raises ModelError."""
        path = Path(reference).expanduser()
        if path.exists():
            return path
        if self.key == "model" or reference in read_models():
            return resolve_model(reference, *self.tasks)
        raise ModelError(f"{reference} is no stage before it and no file, expected one with {self.key}")


WEIGHTS, FOLDER = Taken("weights"), Taken("folder")
FUSION, DETECTION, MATCHING = (Taken("model", (task,)) for task in ("fusion", "detection", "matching"))
