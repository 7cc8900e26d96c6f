"""Every message that the connector can show to a user, read from its source.

A sentence is a template: what is filled in at run time is written `…`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from source_coupa import config

PACKAGE = Path(config.__file__).parent
TEMPLATE = PACKAGE.parent / "builder" / "template.yaml"
"""The Builder edition's own part."""

GAP = "…"

RAISERS = frozenset({"config_error", "transient_error", "system_error"})
"""Functions of `errors.py` whose first argument is a message."""

MESSENGERS = frozenset({"AirbyteTracedException", "AirbyteConnectionStatus"})
"""Classes whose `message` is a sentence."""

PASSED_ON = frozenset(
    {
        ("config.py", "f'{_ADVICE[field]}.'"),
        ("connection.py", "resolution.error_message"),
        ("errors.py", "message"),
        ("fan_out.py", "trace.error.message"),
        ("errors.py", "failure.message or ''"),
        ("fan_out.py", "trace.error.message"),
        ("connection.py", "resolution.error_message"),
        ("source.py", "error.message"),
        ("source.py", "' '.join((error.message or '' for error in wrong))"),
        ("tokens.py", "self._hopeless"),
    }
)
"""(module, argument) of calls whose message is read elsewhere: from `_ADVICE`, from the callers of
`errors.py`, from the manifest, from the errors that ended a token request, a list or
a `check`."""


def all_sentences() -> list[str]:
    """The templates of errors, check results, warnings and the manifests' `error_message`s."""
    sentences = [f"{advice}." for advice in config._ADVICE.values()]
    for file in sorted(PACKAGE.rglob("*.py")):
        sentences += python_sentences(file.name, file.read_text(encoding="utf-8"))
    for file in (PACKAGE / "manifest.yaml", TEMPLATE):
        manifest = yaml.safe_load(file.read_text(encoding="utf-8"))
        sentences += _manifest_sentences(manifest)
    return sentences


def python_sentences(module: str, source: str) -> list[str]:
    """The templates in the text of one module.

    Raises:
        ValueError: for a sentence that cannot be read, so that none is overlooked.
    """
    finder = _Finder(module)
    finder.visit(ast.parse(source))
    return finder.sentences


class _Finder(ast.NodeVisitor):
    def __init__(self, module: str) -> None:
        self.sentences: list[str] = []
        self._module = module
        self._assigned: dict[str, ast.expr] = {}

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        outer, self._assigned = self._assigned, dict(self._assigned)
        self.generic_visit(node)
        self._assigned = outer

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                self._assigned[target.id] = node.value
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        argument = _sentence_argument(node)
        if argument is not None and (self._module, ast.unparse(argument)) not in PASSED_ON:
            text = self._template(argument)
            if len(text.replace(GAP, "")) < 5:
                raise ValueError(
                    f"{self._module}: {ast.unparse(argument)} holds no message; if it passes one "
                    "on that is read elsewhere, add it to PASSED_ON"
                )
            self.sentences.append(text)
        self.generic_visit(node)

    def _template(self, node: ast.expr) -> str:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if isinstance(node, ast.JoinedStr):
            return "".join(map(self._template, node.values))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self._template(node.left) + self._template(node.right)
        if isinstance(node, ast.FormattedValue) and isinstance(node.value, ast.Name):
            constant = self._assigned.get(node.value.id)
            return self._template(constant) if isinstance(constant, ast.Constant) else GAP
        if isinstance(node, ast.Name) and node.id in self._assigned:
            return self._template(self._assigned[node.id])
        return GAP


def _sentence_argument(call: ast.Call) -> ast.expr | None:
    """The argument of a call that a user gets to read, None if there is none."""
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name in MESSENGERS:
        return next((word.value for word in call.keywords if word.arg == "message"), None)
    is_log = isinstance(function, ast.Attribute) and ast.unparse(function.value) == "logger"
    if name in RAISERS or (is_log and name in ("warning", "error")):
        return call.args[0]
    return None


def _manifest_sentences(part: Any) -> Iterator[str]:
    """The error messages that a user can see; those of ignored responses are not shown."""
    if isinstance(part, Mapping):
        if "error_message" in part and part.get("action") != "IGNORE":
            text = re.sub(r"\{%.*?%\}\s*", "", part["error_message"])
            yield re.sub(r"\{\{.*?\}\}", GAP, text)
        for value in part.values():
            yield from _manifest_sentences(value)
    elif isinstance(part, list):
        for value in part:
            yield from _manifest_sentences(value)
