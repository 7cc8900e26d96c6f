"""Tokens, scopes and signing in."""
