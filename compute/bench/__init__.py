"""Measurements that `bystander bench` prints: ratios within one run, medians of several."""
