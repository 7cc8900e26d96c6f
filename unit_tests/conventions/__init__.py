"""What Airbyte, and this project itself, demand of the files of a connector: rules as data.

A module for each kind of document: `metadata` (metadata.yaml), `packaging` (the project's files as
a whole), `manifest`, `spec` (the form), `catalog` (what discover prints), `schemas` and `pages`
(the docs). Each has a table `CHECKS` of functions that take the document and return a list of
problems. `test_conventions` holds the project against all of them, and breaks a document for each,
to see that it complains. A new rule is a function and a line in its table.

What the CDK's standard tests and the source itself check is not checked here again: marking of
secrets, keys and cursors that are in their schema, supported types, unique stream names.
"""
