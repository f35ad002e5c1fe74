"""Masks and pixels of single crops: outlines, holes filled, flags. Pure arrays, no files."""
