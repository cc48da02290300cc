"""General language models, asked what our own models are asked."""
