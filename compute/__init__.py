"""Offline half of Bystander: runs models over controlled backgrounds and writes Parquet.

Importing this package loads nothing heavy; torch comes in with `compute.embed`,
`compute.models`, `compute.networks` and `compute.training` only.
"""

__version__ = "0.1.0"
