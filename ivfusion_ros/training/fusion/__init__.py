"""Training of the fusion networks; all but its config needs torch."""
