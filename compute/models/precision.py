"""What numbers networks are computed and stored in, by name. No torch."""

PRECISIONS = ("float32", "bfloat16")
"""What networks compute in. bfloat16 is up to three times as fast where the processor has
instructions for it."""

STORED = "float32"
"""How weights are stored unless another of `compute.models.weights.DTYPES` is asked for."""
