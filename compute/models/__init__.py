"""Models: their cards, networks, scaling and weights; crops in, embeddings out."""
