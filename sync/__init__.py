"""What `bin/sync` does: Coupa into a database, with the real Airbyte client."""
