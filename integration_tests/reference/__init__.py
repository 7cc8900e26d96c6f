"""The tables and diagrams of the pages, and the Builder edition, generated from the manifest and
the schemas.

    python -m integration_tests.reference

writes them; `test_conventions` fails if that was forgotten.
"""
