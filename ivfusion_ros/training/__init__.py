"""Training of the fusion networks; needs torch (`pip install ivfusion_ros[train]`)."""
