"""Parts of the simulated microscope: proteome, geometry, layout, organelles, optics. No torch."""
