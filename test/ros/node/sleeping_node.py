"""fusion_node with the backend `sleeping` on top of the real ones."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from ivfusion_ros.backends import BACKENDS, BackendRow
from ivfusion_ros.ros.node import main

BACKENDS["sleeping"] = BackendRow("sleeping_backend:SleepingBackend", install="nothing")

if __name__ == "__main__":
    sys.exit(main())
