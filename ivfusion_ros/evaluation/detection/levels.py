"""Where detectors are compared."""

from __future__ import annotations

FALSE_ALARMS = 0.1
"""Per image, at which a model's threshold is measured: equal for all models, unlike their scores."""

ENOUGH_IMAGES = 100
"""From so many on a threshold is worth something: 10 false alarms decide it."""
