"""Which background goes behind which cell, and the crops that come of it."""
