"""The paper's own numbers, and its result files as a run. No torch."""
