"""Runs: from a store and models to a finished run directory, which is estimated and checked."""
