"""Pixels in and out: encodings, image files, films, thermal stretch, drawing, pairs on disk."""
