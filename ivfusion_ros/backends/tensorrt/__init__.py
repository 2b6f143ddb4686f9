"""TensorRT engines: an ONNX model compiled for one GPU and one image size, and kept."""
