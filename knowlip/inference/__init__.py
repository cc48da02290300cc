"""A trained model on new images and data sets: caption, ask, search."""
