"""The connector as a whole, against the sandbox."""
