"""Errors that a user can fix. Each message says what was found, what was expected, what to do.

The CLI prints such an error as one paragraph, without a traceback, and exits with its `exit_code`;
the ROS node logs it. Any other exception is a defect of this package.
"""


class IvfusionError(Exception):
    """Base of all errors caused by input, configuration or environment."""

    exit_code = 1


class ConfigError(IvfusionError):
    """A configuration file, parameter or calibration is wrong."""

    exit_code = 2


class ImageError(IvfusionError):
    """An image cannot be decoded or has a shape or dtype that does not fit."""

    exit_code = 3


class BagError(IvfusionError):
    """A bag cannot be read or written, or lacks what was asked of it."""

    exit_code = 4


class ModelError(IvfusionError):
    """A model file is missing, damaged, or does not obey its graph contract."""

    exit_code = 5


class BackendError(IvfusionError):
    """An inference backend is not installed or cannot run a model."""

    exit_code = 6


class DataError(IvfusionError):
    """A data folder does not hold what training or evaluation needs."""

    exit_code = 7
