"""Generators of record bodies, one module per family of resources.

A generator takes a seeded `random.Random` and the wanted size in bytes of compact JSON, and returns
a Record whose own id, times and amounts are slots (see blueprint.py).
"""
