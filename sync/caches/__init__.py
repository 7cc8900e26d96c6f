"""PyAirbyte's caches, fixed where they would lose or change what the connector sends."""
