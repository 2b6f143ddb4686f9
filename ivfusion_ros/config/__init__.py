"""Parameters: declared once, checked, and read from YAML, for the pipeline and for the node."""
