"""What `bin/sync` does: Coupa into a DuckDB file, with the real Airbyte client."""
