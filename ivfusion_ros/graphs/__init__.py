"""ONNX models as files: what they are for, their inputs and outputs, rewrites of them; no runtime."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "byte_input": ("engine_graph", "engine_inputs", "image_input"),
        "checkable": ("rounded", "with_raw_output"),
        "half": ("to_half",),
        "letterbox": ("GREY", "Letterbox", "network_size", "stride_of"),
        "onnx_file": ("PRECISION_KEY", "THERMAL", "read_metadata", "read_model", "set_metadata"),
        "operations": (
            "batched_product",
            "convolution",
            "count_operations",
            "product",
            "transposed_convolution",
        ),
        "task": (
            "Task",
            "fixed_network_size",
            "keep_detections",
            "network_input_size",
            "takes_thermal",
            "task_of",
        ),
        "yolo": ("Candidates", "Head", "box_iou", "decode", "detection_output", "identify_head"),
    },
)
