"""Where crops come from, one file a source, and `segment`, which finds the cells in them."""
