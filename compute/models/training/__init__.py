"""Training of the networks on a crop store, each by its own objective."""
