"""Plans and rows, without the CDK and without HTTP."""
