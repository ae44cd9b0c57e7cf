"""How one stage is trained: the plan of its steps, batches without padding, checkpoints."""
