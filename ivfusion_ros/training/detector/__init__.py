"""Detectors: boxes from segmentation maps, data sets of them, training and distillation."""
