"""ultralytics without torchvision's compiled operators, which a CPU build of torch cannot load."""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
import types


def provide_nms() -> None:
    """Where torchvision does not load, put a module in its place that has what is asked of it: `ops.nms`.

    Call it before ultralytics validates.
    """
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError):
        # RuntimeError: its operators were not registered, since its library needs CUDA.
        from ultralytics.utils.nms import TorchNMS

        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        package, operators = types.ModuleType("torchvision"), types.ModuleType("torchvision.ops")
        for module in (package, operators):
            module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
            sys.modules[module.__name__] = module
        operators.nms = TorchNMS.nms  # type: ignore[attr-defined]
        package.ops = operators  # type: ignore[attr-defined]
