"""Training of fusion networks and detectors; all but their configs needs torch."""
