"""The regularisation that linear probes share. No arrays, nothing heavy."""

C = 1.0
"""Inverse strength of the regularisation of both probes: that of the SVM in Gupta, Moses and Lu
(2025)."""
