"""Offline half of Bystander: runs models over controlled backgrounds and writes Parquet.

Importing this package loads nothing heavy; torch comes in with `compute.embedding.worker`,
`compute.models.embedder`, `compute.models.networks` and `compute.models.training.train` only.
"""

import os

# Arrow's own allocator keeps what was freed: a run over 200,000 crops would take 50 MiB more. The
# choice is read once, when Arrow is loaded.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

__version__ = "0.1.0"
