"""Reads lists directly, without the CDK and without HTTP."""
