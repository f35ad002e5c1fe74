"""Other people's crops into stores: one file a source, and what all sources share. No torch."""
