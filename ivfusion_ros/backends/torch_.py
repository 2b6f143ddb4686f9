"""torch: this project's fusion networks, rebuilt from their ONNX file; on CUDA where there is a GPU.

It is the reference for what was trained, not a fast CPU path. Other ONNX files, such as detectors, are not
for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ivfusion_ros.errors import BackendError, ModelError
