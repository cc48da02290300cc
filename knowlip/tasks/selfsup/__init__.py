"""Self-supervised pre-training of an image tower: one method a file, all on one data set, one loop, one kind of folder
(docs/self-supervision.md)."""
