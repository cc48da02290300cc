"""Annotators: a tile in, eight sub-texts out; and what looks at the texts of a data set."""
