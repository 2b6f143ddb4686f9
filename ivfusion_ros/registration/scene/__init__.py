"""Aligning two cameras by what their images show of ordinary scenes."""
