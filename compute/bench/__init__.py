"""Measurements that `bystander bench` prints: ratios within one call, medians of several rounds."""
