"""A run from start to end, and what is said of it. On top of every stage."""
