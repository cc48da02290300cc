"""Files, settings, progress, statistics and vocabularies that every other room uses."""
