"""The tables and diagrams of the pages, the Builder edition, and NOTICE, generated from the
manifest, the schemas and the locks.

    python -m integration_tests.reference

writes them; `test_conventions` fails if that was forgotten.
"""
