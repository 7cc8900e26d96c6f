"""PyAirbyte's caches, mended where they would lose or change what the connector sends."""
