"""Calibrating a thermal and an RGB camera: with a board that both see, or from ordinary scenes."""
