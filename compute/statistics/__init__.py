"""What is said of the answers: effects, intervals, tests, shifts, calibration. No torch."""
