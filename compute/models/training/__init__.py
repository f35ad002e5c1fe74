"""The networks' own objectives, to train them on a store."""
