"""The tables and the diagram of the docs page, made from the manifest and the schemas.

    python -m integration_tests.reference

writes them anew; `test_docs` fails if that was forgotten.
"""
