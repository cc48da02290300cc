"""`knowlip serve ARCHIVE`: an archive behind an API with a schema, and one page to look through it."""
