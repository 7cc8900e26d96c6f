"""Fields, keys and types of records."""
