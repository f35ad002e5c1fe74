"""Masks and pixels of crops: growing, finding, filling and flagging. Pure arrays, no files."""
