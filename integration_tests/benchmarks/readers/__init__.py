"""The readers that are compared, one module each; `table.py` lists them.

Nothing is imported here, so that a reader starts without the packages of the others.
"""
