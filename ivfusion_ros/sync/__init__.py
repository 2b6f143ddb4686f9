"""What is one moment: frames of two cameras paired by their stamps, depth images attached."""
