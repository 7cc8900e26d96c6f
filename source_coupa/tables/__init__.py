"""Makes the tables of a list."""
