"""OpenVINO without its telemetry.

Importing it would start a process that reports the import over the network: nothing that a robot should do
unasked, and a child that holds its parent's locks for as long as the network does not answer.
"""

from __future__ import annotations

import sys
from typing import Any

modules: dict[str, Any] = sys.modules
known = modules.get("openvino_telemetry")
# What cannot be imported is replaced by a stub that OpenVINO brings.
modules["openvino_telemetry"] = None
try:
    import openvino as openvino
finally:
    del modules["openvino_telemetry"]
    if known is not None:
        modules["openvino_telemetry"] = known
