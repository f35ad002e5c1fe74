"""Layouts of whole fields, as microscopes and programs write them."""
