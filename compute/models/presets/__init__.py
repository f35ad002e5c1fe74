"""Recipes of published models, ready for a card: what each expects, and where its facts stand."""
