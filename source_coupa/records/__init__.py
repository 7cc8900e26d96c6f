"""Fields and keys of records: pure functions."""
