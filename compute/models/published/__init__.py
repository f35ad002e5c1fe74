"""Published data and weights: where they are, and how they become a card and its weights file."""
