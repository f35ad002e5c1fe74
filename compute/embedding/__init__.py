"""The embedding stage: every trial through every model, one shard of trials after the other."""
