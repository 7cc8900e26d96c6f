"""The parts of `bin/sync`."""
