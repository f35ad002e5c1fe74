"""The simulated microscope: proteome, geometry, layout, organelles, optics. No torch."""
