"""A detector of ultralytics is a pickle, which may run any program: read only what is layers and numbers.

ultralytics itself unpickles whatever the file names. Here torch's reader of data reads the file first, and
is allowed no more than classes of layers, so a file that names anything else is refused before anything of
it runs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ivfusion_ros.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

LAYERS = ("torch.nn.modules.", "ultralytics.nn.")
"""Where the classes of layers may come from."""

PLAIN = {
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "pathlib.WindowsPath",
    "types.SimpleNamespace",
    "ultralytics.utils.IterableSimpleNamespace",
}
"""Further classes that only hold values, which training leaves in a checkpoint."""


def check_is_data(copy: Path, weights: Path) -> None:
    """Raise ModelError unless the file holds nothing but layers and numbers; runs nothing of it.

    copy: the file that is read. weights: its name for people.
    """
    import torch

    from ivfusion_ros.networks.torch_file import check_form, reason_alone

    try:
        check_form(copy)
        named = torch.serialization.get_unsafe_globals_in_checkpoint(str(copy))
    except Exception as error:
        # The format before torch 1.6 cannot be looked through without being run.
        raise ModelError(
            f"ultralytics cannot read {weights} safely: it is damaged, or not in the format that torch has "
            "written since 1.6; load it where it was trained and save it again"
        ) from error
    allowed = [_allowed(name, weights) for name in sorted(named)]
    try:
        with torch.serialization.safe_globals(allowed), reason_alone():
            torch.load(copy, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ModelError(f"ultralytics cannot read {weights}: {str(error).splitlines()[0]}") from error


def _allowed(name: str, weights: Path) -> Any:
    """The class of a name, where it is a layer's or holds values. Raises ModelError."""
    import torch

    if name.startswith(LAYERS) or name in PLAIN:
        module, _, attribute = name.rpartition(".")
        try:
            found = getattr(importlib.import_module(module), attribute, None)
        except ImportError:
            found = None
        if name in PLAIN and isinstance(found, type):
            return found
        if isinstance(found, type) and issubclass(found, torch.nn.Module):
            return found
    raise ModelError(
        f"{weights} names {name}, which is no layer of ultralytics or torch that is installed here; a "
        "checkpoint may run any program, so it was not loaded: export it where it was trained, and use the "
        "ONNX file"
    )
