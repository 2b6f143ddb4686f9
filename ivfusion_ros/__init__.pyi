# For editors and type checkers, since the package hands these names out when they are asked for.
from ivfusion_ros.api.pipeline import Pipeline as Pipeline
from ivfusion_ros.api.pipeline import fuse as fuse
from ivfusion_ros.api.recording import Recording as Recording
from ivfusion_ros.api.recording import open as open  # noqa: A004
from ivfusion_ros.api.result import Result as Result

__version__: str
