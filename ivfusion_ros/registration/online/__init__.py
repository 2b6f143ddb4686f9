"""The small correction that is learned while a pipeline runs."""
