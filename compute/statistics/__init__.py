"""Statistics of the probes' answers: effects, intervals, tests, shifts, calibration. No torch."""
