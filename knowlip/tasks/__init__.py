"""One file a task: what the model is asked, and how its answers are scored."""
