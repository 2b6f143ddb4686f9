"""Training of fusion networks and detectors; all but their configs needs torch."""

__all__ = ["detector", "fusion"]
