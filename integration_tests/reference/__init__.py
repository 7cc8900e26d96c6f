"""The tables and the diagram of the docs page, made from the manifest and the schemas.

    python -m integration_tests.reference

writes them anew; `test_conventions` fails if that was forgotten.
"""
