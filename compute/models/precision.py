"""Names of the numbers that networks compute with and weights are stored as.

Layer: data only; needs no torch.
"""

PRECISIONS = ("float32", "bfloat16")
"""Numbers that networks compute with; crops are scaled and embeddings pooled as float32.

bfloat16 is up to three times as fast where the processor has instructions for it.
"""

STORED = "float32"
"""How weights are stored unless another of `compute.models.weights.DTYPES` is asked for."""
