"""Reads Coupa's lists."""
