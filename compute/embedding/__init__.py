"""The embedding stage: every trial through every model, shard by shard."""
