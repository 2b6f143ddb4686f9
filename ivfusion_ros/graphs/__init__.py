"""ONNX models as files: what they are for, their inputs and outputs, rewrites of them; no runtime."""
