"""Spatial registration: from thermal pixels to RGB pixels."""
