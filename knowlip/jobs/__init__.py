"""Who does the work: here, in threads, in processes, on a Ray cluster, in ranks of torchrun; chunks, resuming, locking.

`work`: what is done and where; `run`: does it; `store`: what of it is finished; `phases`: whole passes in chunks.
"""
