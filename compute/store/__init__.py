"""Crop stores: how they are written, part by part, and read. No torch."""
