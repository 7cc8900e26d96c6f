"""What is measured, one module each; `table.py` lists them."""
