"""Who does the work: here, in processes, on a Ray cluster, in ranks of torchrun; chunks, resuming, locking."""
