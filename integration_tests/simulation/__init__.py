"""Randomised chains of syncs against the sandbox: nothing may be lost, whatever happens.

A scenario is drawn from a seed (`scenario`), played with the real connector (`player`), and judged
by the tables of the sandbox (`destination`). `bin/soak` plays thousands and prints a report;
docs/reliability.md says what that proves and what it does not.
"""
