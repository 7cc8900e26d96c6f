"""What is exchanged with Airbyte."""
