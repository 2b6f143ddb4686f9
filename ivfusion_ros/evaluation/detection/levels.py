"""Where detectors are compared."""

from __future__ import annotations

FALSE_ALARMS = 0.1
"""Per image, at which a model's threshold is measured: equal for all models, unlike their scores."""
