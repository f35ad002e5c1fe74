"""Backgrounds: which donor gives the background of which cell, and the crops composed of both."""
