"""Training one stage: planned steps, batches without padding, checkpoints, stored adapters."""
