"""From a pair of frames to a fused image with detections: the stages and what joins them."""
