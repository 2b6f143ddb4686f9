"""Trained networks to ONNX: fusion networks, detectors, and detectors in int8."""
