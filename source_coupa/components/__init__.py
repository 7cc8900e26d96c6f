"""The Python parts that the manifest names; each does what YAML cannot (see AGENTS.md)."""
