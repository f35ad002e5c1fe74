"""Baselines: models that look at nothing in particular, or only at the crowd."""
