"""What the eight sub-texts may say, when it is true, how it turns with pixels and how it is made wrong."""
