"""The paper's own numbers, and its result files read into a run; needs no torch."""
