"""Layouts of crops that lie in arrays, as programs write them."""
