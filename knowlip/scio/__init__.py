"""SCIO over a whole data set without a training: screening, reconstruction, and pages on what they decided."""
