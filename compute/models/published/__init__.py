"""Published data and weights: where they are, and how they become a card of ours."""
