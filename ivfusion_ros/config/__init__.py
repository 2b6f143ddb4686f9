"""Parameters: declared once, checked, and read from YAML, for the pipeline and for the node."""

from ivfusion_ros.config.node import FusionNodeConfig, NodeConfig
from ivfusion_ros.config.parameters import (
    Parameter,
    assignments,
    flatten,
    iter_parameters,
    load_config,
    make_config,
    parameter,
    plain,
)
from ivfusion_ros.config.pipeline import (
    DeadlineConfig,
    DetectionConfig,
    FaultConfig,
    FusionConfig,
    ImagesConfig,
    OutputsConfig,
    PairingConfig,
    PipelineConfig,
    PositionsConfig,
    RefinementConfig,
    RegistrationConfig,
    ThermalConfig,
    TrackingConfig,
)

__all__ = [
    "DeadlineConfig",
    "DetectionConfig",
    "FaultConfig",
    "FusionConfig",
    "FusionNodeConfig",
    "ImagesConfig",
    "NodeConfig",
    "OutputsConfig",
    "PairingConfig",
    "Parameter",
    "PipelineConfig",
    "PositionsConfig",
    "RefinementConfig",
    "RegistrationConfig",
    "ThermalConfig",
    "TrackingConfig",
    "assignments",
    "flatten",
    "iter_parameters",
    "load_config",
    "make_config",
    "parameter",
    "plain",
]
