"""Loaders: a model of each source, from its card to a network that answers."""
