"""What fused images may be scored by, known without the libraries that compute it."""

from __future__ import annotations

from ivfusion_ros.metrics.names import EYE_NAMES, PAPER_NAMES

PEOPLE = "people"
"""How many there are whose contrast can be measured, and what asks for all of this."""
FADED, FAINT = "people_faded", "people_faint"
"""Shares of them, in [0, 1]."""

METRIC_NAMES = (*PAPER_NAMES, *EYE_NAMES, PEOPLE)
"""What may be asked for."""

SHEET_NAMES = (*PAPER_NAMES, *EYE_NAMES, FADED, FAINT)
"""What pairs may be chosen by."""
