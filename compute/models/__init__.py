"""Models: cards, architectures, scaling, weights; crops in, embeddings out."""
