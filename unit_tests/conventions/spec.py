"""The form that users fill in: Airbyte's rules for connection specifications.

They are those of its retired acceptance tests, its reference of specifications and its handbook of
user experience. Marking of secrets is checked by the CDK's standard tests.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft7Validator

from integration_tests.reference.manifest import MANIFEST

from .rules import GONE, Check, Problems, Tree

FORBIDDEN = frozenset(
    """
    $ref $defs allOf anyOf definitions dependencies dependentRequired dependentSchemas else if not
    patternProperties prefixItems then
    """.split()  # noqa: SIM905 (a literal would take a line for each)
)
"""Keywords that Airbyte's form does not understand."""

DATES = re.compile(r"\[0-9\]\{4\}-|\\d\{4\}-")
"""How a pattern of dates begins."""


def read() -> Tree:
    """The project's specification."""
    spec = MANIFEST["spec"]
    advanced = {"advanced_auth": spec["advanced_auth"]} if "advanced_auth" in spec else {}
    return Tree({**spec["connection_specification"], **advanced})


@dataclass(frozen=True)
class Field:
    """A setting: where it is, its schema, and the object that holds it."""

    path: str
    schema: Mapping[str, Any]
    holder: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The key of the setting."""
        return self.path.rpartition("/")[2]

    @property
    def is_hidden(self) -> bool:
        """Whether Airbyte fills it in and nobody sees it."""
        return self.schema.get("airbyte_hidden") is True

    @property
    def is_const(self) -> bool:
        """Whether it tells the variants of a choice apart; nobody fills it in."""
        return "const" in self.schema


def fields(schema: Mapping[str, Any], path: str = "") -> Iterator[Field]:
    """All settings, those in the variants of a choice and in the entries of a list too."""
    for name, field in schema.get("properties", {}).items():
        yield Field(f"{path}/{name}", field, schema)
        yield from fields(field, f"{path}/{name}")
        yield from fields(field.get("items", {}), f"{path}/{name}/[]")
    for number, variant in enumerate(schema.get("oneOf", ())):
        yield from fields(variant, f"{path}[{number}]")


def _types(schema: Mapping[str, Any]) -> list[str]:
    kinds = schema.get("type", [])
    return [kinds] if isinstance(kinds, str) else list(kinds)


def _parts(part: Any) -> Iterator[Mapping[str, Any]]:
    """Every mapping in a specification."""
    if isinstance(part, Mapping):
        yield part
    for value in part.values() if isinstance(part, Mapping) else part:
        if isinstance(value, (Mapping, list)):
            yield from _parts(value)


def check_valid(spec: Tree) -> Problems:
    errors = Draft7Validator(Draft7Validator.META_SCHEMA).iter_errors(spec.root)
    problems = [f"{error.json_path}: {error.message}" for error in errors]
    if spec.root.get("$schema") != "http://json-schema.org/draft-07/schema#":
        problems.append(f"$schema is {spec.root.get('$schema')}")
    return problems if spec.root.get("type") == "object" else [*problems, "it is no object"]


def check_keywords(spec: Tree) -> Problems:
    form = {key: value for key, value in spec.root.items() if key != "advanced_auth"}
    return [f"{key} is not supported" for part in _parts(form) for key in FORBIDDEN & part.keys()]


def check_open(spec: Tree) -> Problems:
    """An older connector must accept the settings of a newer one."""
    objects = [("/", spec.root), *((field.path, field.schema) for field in fields(spec.root))]
    return [
        f"{path}: additionalProperties is not true"
        for path, schema in objects
        if "object" in _types(schema)
        and "oneOf" not in schema
        and schema.get("additionalProperties") is not True
    ]


def check_types(spec: Tree) -> Problems:
    """One type, or one and null; objects say what is in them, lists what they list."""
    problems = []
    for field in fields(spec.root):
        kinds = [kind for kind in _types(field.schema) if kind != "null"]
        if len(kinds) != 1:
            problems.append(f"{field.path}: {len(kinds)} types")
        if "object" in kinds and not field.schema.keys() & {"properties", "oneOf"}:
            problems.append(f"{field.path}: an object without settings")
        items = field.schema.get("items", {})
        if "array" in kinds and not {*_types(items)} & {"string", "number", "integer", "object"}:
            problems.append(f"{field.path}: a list of anything")
        enum = field.schema.get("enum", [])
        if len(set(enum)) != len(enum):
            problems.append(f"{field.path}: a choice is offered twice")
    return problems


LONGEST_DESCRIPTION = 250
"""Characters: about three lines of the form."""


def check_texts(spec: Tree) -> Problems:
    """Each setting has a title, in which words are capitalised, and a short description in
    sentences."""
    problems = []
    for field in fields(spec.root):
        title, text = field.schema.get("title", ""), field.schema.get("description", "")
        if field.is_const:
            continue
        if not re.fullmatch(
            r"\(?[A-Z]\S*( (\(?[A-Z]\S*|a|an|and|by|for|in|of|or|per|the|to))*", title
        ):
            problems.append(f"{field.path}: title {title!r}")
        if not re.fullmatch(r"[A-Z].*\.", text, re.S):
            problems.append(f"{field.path}: the description is no sentence")
        if len(text) > LONGEST_DESCRIPTION:
            problems.append(f"{field.path}: the description has {len(text)} characters")
        if "http://" in text:
            problems.append(f"{field.path}: a link that is not https")
    return problems


def check_what_is_folded(spec: Tree) -> Problems:
    """Of the optional settings, the form shows the date to start at; all others are folded."""
    return [
        f"/{name}: {'shown' if is_shown else 'folded'} at first"
        for name, field in spec.root["properties"].items()
        if name not in spec.root.get("required", ())
        for is_shown in [field.get("always_show") is True]
        if is_shown != ("date" in field.get("format", ""))
    ]


def check_order(spec: Tree) -> Problems:
    """Settings of one object, and one group, have places of their own."""
    places = Counter(
        (id(field.holder), field.schema.get("group"), field.schema.get("order"))
        for field in fields(spec.root)
    )
    problems = [
        f"{field.path}: no order"
        for field in fields(spec.root)
        if not isinstance(field.schema.get("order"), int) and not field.is_const
    ]
    shared = {place[2] for place, number in places.items() if number > 1 and place[2] is not None}
    return problems + [f"order {place} is given twice" for place in shared]


def check_examples(spec: Tree) -> Problems:
    """Examples and defaults are values that the form accepts. What is typed in has some, but for
    secrets that nobody makes up."""
    problems = []
    for field in fields(spec.root):
        schema = {key: value for key, value in field.schema.items() if key != "oneOf"}
        given = [*field.schema.get("examples", ())]
        needs_none = field.is_const or field.is_hidden or "airbyte_secret" in field.schema
        needs_none = needs_none or not field.schema.keys().isdisjoint({"enum", "oneOf"})
        if not given and not needs_none and {"boolean", "object"}.isdisjoint(_types(field.schema)):
            problems.append(f"{field.path}: no example")
        if "default" in field.schema:
            given.append(field.schema["default"])
        for value in given:
            if not Draft7Validator(schema).is_valid(value):
                problems.append(f"{field.path}: {value!r} is not accepted")
    return problems


def check_patterns(spec: Tree) -> Problems:
    """A pattern is explained; a date says that it is one, and has a pattern."""
    problems = []
    for field in fields(spec.root):
        pattern, form = field.schema.get("pattern"), field.schema.get("format")
        if (pattern is None) != ("pattern_descriptor" not in field.schema):
            problems.append(f"{field.path}: pattern and pattern_descriptor go together")
        if form in ("date", "date-time") and pattern is None and not field.is_hidden:
            problems.append(f"{field.path}: a date without a pattern")
        if pattern and DATES.search(pattern) and form not in ("date", "date-time"):
            problems.append(f"{field.path}: a pattern of dates without a format")
    return problems


def check_required(spec: Tree) -> Problems:
    """What is required is there and has no default; limits have a default within them."""
    problems = []
    for field in fields(spec.root):
        is_required = field.name in field.holder.get("required", ())
        if is_required and "default" in field.schema and not field.is_const:
            problems.append(f"{field.path}: required in spite of a default")
        if not is_required and "minimum" in field.schema and "default" not in field.schema:
            problems.append(f"{field.path}: nobody knows what it is if it is left out")
    for part in _parts(spec.root):
        required = part.get("required")
        if isinstance(required, list) and isinstance(part.get("properties"), Mapping):
            problems += [
                f"{name} is required" for name in required if name not in part["properties"]
            ]
    return problems


def check_choices(spec: Tree) -> Problems:
    """The rules for `oneOf`: one common constant tells the variants apart."""
    problems = []
    for field in fields(spec.root):
        variants = field.schema.get("oneOf")
        if variants is None:
            if "display_type" in field.schema:
                problems.append(f"{field.path}: display_type without a choice")
            continue
        if _types(field.schema) != ["object"]:
            problems.append(f"{field.path}: a choice that is no object")
        if field.schema.get("display_type") not in ("dropdown", "radio"):
            problems.append(f"{field.path}: display_type")
        if not all(v.get("title") and v.get("properties") for v in variants):
            problems.append(f"{field.path}: a variant without title or settings")
        constants = [
            {name: f["const"] for name, f in v.get("properties", {}).items() if "const" in f}
            for v in variants
        ]
        common = set.intersection(*(set(found) for found in constants))
        if len(common) != 1:
            problems.append(f"{field.path}: {len(common)} common constants")
            continue
        [name] = common
        values = [found[name] for found in constants]
        if len(set(values)) != len(values):
            problems.append(f"{field.path}: two variants have one constant")
        for variant in variants:
            constant = variant["properties"][name]
            if constant.get("default", constant["const"]) != constant["const"]:
                problems.append(f"{field.path}: {name} has another default than its constant")
    return problems


def check_groups(spec: Tree) -> Problems:
    """Cards of the form are made of its top level, and have titles."""
    titled = {group["id"] for group in spec.root.get("groups", ())}
    return [
        f"{field.path}: group {field.schema['group']}"
        for field in fields(spec.root)
        if "group" in field.schema
        and (field.path.count("/") > 1 or field.schema["group"] not in titled)
    ]


def check_sign_in(spec: Tree) -> Problems:
    """What a sign-in in the browser fills in are settings of the form."""
    advanced = spec.root.get("advanced_auth")
    if advanced is None:
        return []
    paths = {re.sub(r"\[\d+\]", "", field.path) for field in fields(spec.root)}
    named = [advanced["predicate_key"]] if "predicate_key" in advanced else []
    named += [
        part["path_in_connector_config"]
        for part in _parts(advanced)
        if isinstance(part.get("path_in_connector_config"), list)
    ]
    return [f"no setting {path}" for path in named if "/" + "/".join(path) not in paths]


_CHOICE = {
    "type": "object",
    "title": "Sign In",
    "description": "How to sign in.",
    "order": 9,
    "display_type": "radio",
    "oneOf": [
        {
            "type": "object",
            "title": title,
            "required": ["way"],
            "additionalProperties": True,
            "properties": {"way": {"type": "string", "const": title, "default": title}},
        }
        for title in ("Key", "Browser")
    ],
}

_EXAMPLE = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "additionalProperties": True,
    "required": ["host"],
    "groups": [{"id": "main", "title": "Main"}],
    "properties": {
        "host": {
            "type": "string",
            "title": "Host of the Instance",
            "description": "Where it is.",
            "order": 0,
            "group": "main",
            "pattern": "^[a-z]+$",
            "pattern_descriptor": "acme",
            "examples": ["acme"],
        },
        "since": {
            "type": "string",
            "title": "Since",
            "description": "From when on.",
            "order": 1,
            "format": "date",
            "always_show": True,
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
            "pattern_descriptor": "YYYY-MM-DD",
            "examples": ["2024-01-01"],
        },
        "workers": {
            "type": "integer",
            "title": "Workers",
            "description": "How many.",
            "order": 2,
            "minimum": 1,
            "maximum": 9,
            "default": 3,
            "examples": [5],
        },
        "sign_in": _CHOICE,
    },
    "advanced_auth": {
        "predicate_key": ["sign_in", "way"],
        "oauth_config_specification": {
            "complete_oauth_output_specification": {
                "properties": {"host": {"type": "string", "path_in_connector_config": ["host"]}}
            }
        },
    },
}


def example() -> Tree:
    """A specification that keeps every rule, with a choice and a sign-in."""
    return Tree(_EXAMPLE)


_HOST, _SINCE, _WORKERS = (f"properties/{name}" for name in ("host", "since", "workers"))
_OUTPUT = "advanced_auth/oauth_config_specification/complete_oauth_output_specification"
_SIGN_IN = "properties/sign_in"
_WAY = f"{_SIGN_IN}/oneOf/0/properties/way"

CHECKS: tuple[Check[Tree], ...] = (
    Check(
        check_valid,
        (f"{_HOST}/type", "text"),
        ("$schema", "http://json-schema.org/draft-04/schema#"),
        ("type", "array"),
    ),
    Check(check_keywords, *((f"{_HOST}/{key}", {}) for key in sorted(FORBIDDEN))),
    Check(
        check_open,
        ("additionalProperties", False),
        (f"{_SIGN_IN}/oneOf/0/properties/more", {"type": "object", "properties": {}}),
    ),
    Check(
        check_types,
        (f"{_HOST}/type", ["string", "integer"]),
        (f"{_HOST}/type", GONE),
        (f"{_HOST}/type", "object"),
        (f"{_HOST}/type", "array"),
        (f"{_HOST}/enum", ["one", "one"]),
    ),
    Check(
        check_what_is_folded,
        (f"{_SINCE}/always_show", GONE),
        (f"{_SIGN_IN}/always_show", True),
    ),
    Check(
        check_texts,
        (f"{_HOST}/title", "host_name"),
        (f"{_HOST}/title", GONE),
        (f"{_HOST}/title", "Host name"),
        (f"{_HOST}/description", "where it is"),
        (f"{_HOST}/description", "See http://example.com."),
        (f"{_HOST}/description", f"See{' more' * 60}."),
    ),
    Check(
        check_order,
        (f"{_HOST}/order", GONE),
        (f"{_SINCE}/order", 2),
        (f"{_HOST}/order", 1, f"{_HOST}/group", GONE),
    ),
    Check(
        check_examples,
        (f"{_HOST}/examples", ["Acme"]),
        (f"{_HOST}/examples", GONE),
        (f"{_WORKERS}/default", 10),
    ),
    Check(
        check_patterns,
        (f"{_HOST}/pattern_descriptor", GONE),
        (f"{_HOST}/pattern", GONE),
        (f"{_SINCE}/pattern", GONE, f"{_SINCE}/pattern_descriptor", GONE),
        (f"{_SINCE}/format", GONE),
    ),
    Check(
        check_required,
        ("required", ["host", "port"]),
        ("required", ["workers"]),
        (f"{_WORKERS}/default", GONE),
        (f"{_SIGN_IN}/oneOf/1/required", ["key"]),
    ),
    Check(
        check_choices,
        (f"{_HOST}/display_type", "radio"),
        (f"{_SIGN_IN}/type", "string"),
        (f"{_SIGN_IN}/display_type", GONE),
        (f"{_SIGN_IN}/oneOf/0/title", GONE),
        (f"{_WAY}/const", GONE),
        (f"{_WAY}/const", "Browser"),
        (f"{_WAY}/default", "Browser"),
    ),
    Check(
        check_groups,
        ("groups", []),
        (f"{_WAY}/group", "main"),
    ),
    Check(
        check_sign_in,
        ("advanced_auth/predicate_key", ["way"]),
        (f"{_OUTPUT}/properties/host/path_in_connector_config", ["hosts"]),
    ),
)
