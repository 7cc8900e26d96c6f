"""The prose says what the code does, and the docs page keeps to Airbyte's template."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from jsonschema import Draft7Validator

from integration_tests.reference import page
from integration_tests.reference import tables as made_tables
from integration_tests.reference.manifest import MANIFEST, ROOT, SCOPES, STREAMS
from unit_tests.conventions.evidence import endpoints
from unit_tests.conventions.sentences import GAP, all_sentences

from .rules import Check

SPEC = MANIFEST["spec"]["connection_specification"]


DOCS = "docs/integrations/sources/coupa.md"

BESIDE = "docs/integrations/sources/coupa"


CODE = "the code"


def _words_of_code() -> str:
    """Comments, docstrings, names of tests, and descriptions of columns, each with its file."""
    words = []
    for folder in ("source_coupa", "sync", "unit_tests", "integration_tests"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            text = file.read_text(encoding="utf-8")
            found = re.findall(r"# .*", text) + re.findall(r'"""(.*?)"""', text, re.S)
            names = re.findall(r"def (test_\w+)", text)
            words += [f"{file.name}: {each}" for each in (*found, *map(_spaced, names))]
        for file in sorted((ROOT / folder).rglob("schemas/*.json")):
            described = re.findall(r'"description": "(.*)"', file.read_text(encoding="utf-8"))
            words += [f"{file.name}: {each}" for each in described]
    return "\n".join(words)


def _spaced(name: str) -> str:
    return name.replace("_", " ")


@dataclass(frozen=True)
class Pages:
    """The text of every page: path -> text; and what is said in the code."""

    texts: Mapping[str, str]
    code: str

    @classmethod
    def read(cls) -> Pages:
        files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
        return cls(
            {
                file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8")
                for file in sorted(files)
                if not file.is_symlink()
            },
            _words_of_code(),
        )

    @property
    def docs(self) -> str:
        """The docs page of the connector."""
        return self.texts[DOCS]

    def beside(self, name: str) -> str:
        """A page of the folder beside the docs page."""
        return self.texts[f"{BESIDE}/{name}.md"]

    def with_edit(self, *edit: str) -> Pages:
        """(page, old, new): the pages with all of `old` replaced in one."""
        page, old, new = edit
        text = self.code if page == CODE else self.texts[page]
        assert old in text, f"{page} holds no {old!r}"
        if page == CODE:
            return Pages(self.texts, text.replace(old, new))
        return Pages({**self.texts, page: text.replace(old, new)}, self.code)


# What the template of Airbyte's connector pages demands; order counts, levels do not.

_RESERVED = (
    "Prerequisites|Setup guide|Set up Coupa|Set up the Coupa connector in Airbyte|"
    "For Airbyte Cloud:|For Airbyte Open Source:|Supported sync modes|Supported Streams|"
    "Performance considerations|Data type map|Limitations & Troubleshooting|Tutorials|"
    "IP allow list|Changelog"
)
_OWN = rf"(?:(?!(?:{_RESERVED})\n)[^\n]+\n)*"
HEADER_ORDER = (
    "Coupa\nPrerequisites\nSetup guide\nSet up Coupa\n"
    rf"{_OWN}Set up the Coupa connector in Airbyte\n"
    rf"For Airbyte Cloud:\nFor Airbyte Open Source:\n{_OWN}"
    rf"Supported sync modes\nSupported Streams\n{_OWN}"
    rf"Performance considerations\nData type map\nLimitations & Troubleshooting\n{_OWN}"
    "(?:Tutorials\n)?IP allow list\nChangelog\n"
)

SECTION_STARTS: Mapping[str, str] = {
    "Coupa": (
        "\n<HideInUI>\n\nThis page contains the setup guide and reference information for the "
        "[Coupa](https://www.coupa.com) source connector.\n\n</HideInUI>\n\n"
    ),
    "For Airbyte Cloud:": (
        "\n1. [Log into your Airbyte Cloud](https://cloud.airbyte.com/workspaces) account.\n"
        "2. Click Sources and then click + New source.\n"
        "3. On the Set up the source page, select Coupa from the Source type dropdown.\n"
        "4. Enter a name for the Coupa connector.\n"
    ),
    "For Airbyte Open Source:": "\n1. Navigate to the Airbyte Open Source dashboard.\n",
    "Supported sync modes": (
        "\nThe Coupa source connector supports the following [sync modes]"
        "(https://docs.airbyte.com/cloud/core-concepts/#connection-sync-modes):\n\n"
    ),
    "IP allow list": (
        "\nIf you use Airbyte Cloud and your organization restricts access to specific IPs, add "
        "the [Airbyte Cloud IP addresses](/platform/operating-airbyte/ip-allowlist) to your allow "
        "list.\n\n"
    ),
    "Changelog": "\n<details>\n  <summary>Expand to review</summary>\n\n",
}
"""Section -> how Airbyte's checks and its guide for connector pages want it to begin."""


def prose(text: str) -> str:
    """The text without its code blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.S | re.M)


def headers(text: str) -> list[str]:
    """The texts of all headers, code blocks left out."""
    return re.findall(r"^#{1,4} (.+)$", prose(text), re.M)


def section(text: str, header: str) -> str:
    """What follows a header up to the next one, "" if the page has no such header."""
    found = re.search(rf"^#+ {re.escape(header)}\n(.*?)(?=^#+ |\Z)", text, re.M | re.S)
    return found[1] if found else ""


def tables(text: str) -> Iterator[list[dict[str, str]]]:
    """The rows of each table, by column; backticks left out. What follows a line break is left out
    too, unless the head of the column has a line break as well."""
    for block in re.findall(r"(?:^ *\|.*\n)+", text, re.M):
        heads, _, *rows = (
            [
                [part.strip() for part in cell.replace("`", "").split("<br/>")]
                for cell in line.strip().strip("|").split("|")
            ]
            for line in block.splitlines()
        )
        yield [
            {
                name: part
                for names, parts in zip(heads, row, strict=True)
                for name, part in zip_longest(names, parts[: len(names)], fillvalue="")
            }
            for row in rows
        ]


def table(text: str, *columns: str) -> list[dict[str, str]]:
    """The rows of all tables that have these columns."""
    return [row for rows in tables(text) for row in rows if set(columns) <= row.keys()]


def check_headers(pages: Pages) -> list[str]:
    found = "".join(f"{header}\n" for header in headers(pages.docs))
    return [] if re.fullmatch(HEADER_ORDER, found) else [f"headers out of order:\n{found}"]


def check_fixed_text(pages: Pages) -> list[str]:
    return [
        f"{header}: does not begin as Airbyte demands"
        for header, start in SECTION_STARTS.items()
        if not section(pages.docs, header).startswith(start)
    ]


def check_generated_sections(pages: Pages) -> list[str]:
    """The tables, the diagrams, and the figures of the benchmark."""
    written = {path: pages.texts[path.relative_to(ROOT).as_posix()] for path in page.SECTIONS}
    return [
        f"{path.name}: run python -m integration_tests.reference"
        for path, sections in page.SECTIONS.items()
        if written[path] != page.renewed(written[path], sections)
    ]


def check_diagrams(pages: Pages) -> list[str]:
    """A diagram shows each column of a table once, with all of its marks."""
    return [
        f"{name} shows {column} twice"
        for name, columns in re.findall(
            r"^  (\w+) \{\n(.*?)^  \}$", pages.beside("data-model"), re.M | re.S
        )
        for column, count in Counter(re.findall(r"integer (\w+)", columns)).items()
        if count > 1
    ]


def check_columns_are_described(pages: Pages) -> list[str]:
    """Each column of the most used streams has a description."""
    rows = table(pages.beside("columns"), "Column", "Type", "Description")
    return [f"no description of {row['Column']}" for row in rows if not row["Description"]]


def check_scopes_are_named(pages: Pages) -> list[str]:
    """The stream reference names the scopes of each stream as the manifest does."""
    rows = table(pages.beside("streams"), "Stream", "Scope", "Key")
    named = {(row["Stream"], row["Scope"]) for row in rows}
    wanted = {(stream.name, made_tables.needs(stream).replace("`", "")) for stream in STREAMS}
    return [f"scopes differ: {difference}" for difference in sorted(named ^ wanted)]


def check_scopes_exist(pages: Pages) -> list[str]:
    """Each read scope that a page names is one that a stream uses."""
    named = set(re.findall(r"core\.[\w.]+\.read\b", "".join(pages.texts.values())))
    return [f"no stream uses {scope}" for scope in sorted(named - set(SCOPES))]


def check_lists_that_are_not_read(pages: Pages) -> list[str]:
    """Each list that Coupa documents is read by a stream, or the reference says why not."""
    rows = table(pages.beside("streams"), "List", "Why")
    named = {path.removeprefix("/api/") for row in rows for path in row["List"].split(", ")}
    left_out = endpoints().keys() - {stream.path for stream in STREAMS}
    problems = [] if named == left_out else [f"lists differ by {sorted(named ^ left_out)}"]
    names = {stream.name for stream in STREAMS}
    for row in rows:
        see = re.findall(r"see (\w+)(?: and (\w+))?", row["Why"])
        problems += [
            f"no stream {name}" for found in see for name in found if name not in {*names, ""}
        ]
    return problems


def check_streams_that_differ(pages: Pages) -> list[str]:
    """Streams that are read in full, or with a look-back window of their own, are named."""
    named = {
        name
        for row in table(pages.beside("streams"), "Stream", "How it is read", "Why")
        for name in re.findall(r"[a-z_]+", row["Stream"])
    }
    wanted = {
        stream.name
        for stream in STREAMS
        if stream.base in ("full_refresh_stream", "week_back_stream")
    }
    return [f"{name}: how it is read is missing" for name in sorted(wanted - named)]


def check_kinds_of_streams(pages: Pages) -> list[str]:
    """The maintainers' table has a row for each base definition that the manifest uses."""
    rows = table(
        pages.texts["docs/design/streams.md"], "Base definition", "Cursor field", "Streams"
    )
    named = {row["Base definition"]: row for row in rows}
    problems = []
    for base in dict.fromkeys(stream.base for stream in STREAMS):
        streams = [stream.name for stream in STREAMS if stream.base == base]
        row = named.pop(base, None)
        if row is None:
            problems.append(f"no row for {base}")
        elif len(streams) <= 10 and row["Streams"] != ", ".join(streams):
            problems.append(f"{base}: {row['Streams']} is not {', '.join(streams)}")
    return problems + [f"no stream is a {base}" for base in named]


def check_settings(pages: Pages) -> list[str]:
    """Each field of the form has a passage of its own, with its title, limits and default."""
    problems = []
    passages = re.findall(
        r'<FieldAnchor field="([^"]+)">\n\n(.+?)\n\n</FieldAnchor>', pages.docs, re.S
    )
    passage = {field: text for fields, text in passages for field in fields.split(",")}
    if passage.keys() != SPEC["properties"].keys():
        problems.append(f"passages for {sorted(passage)}")
    for name, field in SPEC["properties"].items():
        text = passage.get(name, "")
        if f"**{field['title']}**" not in text:
            problems.append(f"{name}: its title {field['title']} is missing")
        is_required = name in SPEC["required"]
        if ("(required)" if is_required else "(optional") not in text:
            problems.append(f"{name}: whether it is required is missing")
        if "minimum" in field:
            limits = f"{field['minimum']} to {field['maximum']}, default {field['default']}"
            if limits not in text:
                problems.append(f"{name}: {limits} is missing")
    return problems


def check_prerequisites(pages: Pages) -> list[str]:
    text = section(pages.docs, "Prerequisites")
    titles = [SPEC["properties"][name]["title"] for name in SPEC["required"]]
    return [f"{title} is not a prerequisite" for title in titles if f"**{title}**" not in text]


def check_troubleshooting(pages: Pages) -> list[str]:
    """Each message has its row, each row a message that begins with it."""
    sentences = all_sentences()
    rows = [
        row["Message"] for row in table(pages.beside("troubleshooting"), "Message", "What to do")
    ]
    problems = [
        f"no row: {sentence}" for sentence in sentences if not sentence.startswith(tuple(rows))
    ]
    for row in rows:
        if not any(sentence.startswith(row) for sentence in sentences):
            problems.append(f"no sentence: {row}")
        if len(row.replace(GAP, "")) < 12:
            problems.append(f"too short to tell sentences apart: {row}")
    return problems


_FOLDERS = r"\.ci|\.github|bin|builder|docs|integration_tests|source_coupa|sync|unit_tests"


def check_links(pages: Pages) -> list[str]:
    """Files and headers that are linked to exist, also files that are only named."""
    problems = []
    for name, text in pages.texts.items():
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if target.startswith("http://"):
                problems.append(f"{name}: {target} is not https")
            if target.startswith(("http", "/")):
                continue
            file, _, fragment = target.partition("#")
            linked = (ROOT / name).parent.joinpath(file).resolve() if file else ROOT / name
            if not linked.exists():
                problems.append(f"{name}: no file {target}")
            elif fragment:
                there = linked.relative_to(ROOT).as_posix()
                titles = headers(pages.texts.get(there, ""))
                if fragment not in map(made_tables.anchor, titles):
                    problems.append(f"{name}: no header {target}")
        for path in re.findall(rf"`((?:{_FOLDERS})/[\w./*-]*)`", text):
            if not any(ROOT.glob(path.rstrip("/"))):
                problems.append(f"{name}: no file {path}")
    return problems


LIMITS: Mapping[str, tuple[int, float]] = {
    DOCS: (35_000, 15),
    "README.md": (8_000, 6),
    "AGENTS.md": (10_000, 6),
    f"{BESIDE}/custom-fields.md": (10_000, 6),
    f"{BESIDE}/signing-in.md": (10_000, 6),
    f"{BESIDE}/filters.md": (10_000, 6),
    f"{BESIDE}/builder-edition.md": (10_000, 8),
}
"""Page -> the most bytes, and the most screens."""

_LINE, _LINES_PER_SCREEN = 105, 42
"""Characters of a line, and lines of a screen, at the width at which Airbyte shows its pages."""


def screens(text: str) -> float:
    """How many screens a page fills, about: a header and a row of a table count as two lines."""
    lines = 0
    for line in text.splitlines():
        links_shortened = re.sub(r"\]\([^)]+\)", "]", line)
        wrapped = max(1, -(-len(links_shortened) // _LINE))
        lines += wrapped + (1 if line.startswith(("#", "|")) else 0)
    return lines / _LINES_PER_SCREEN


def check_sizes(pages: Pages) -> list[str]:
    """Pages that are read from top to bottom stay short; README begins with one screen."""
    problems = []
    for name, (most_bytes, most_screens) in LIMITS.items():
        text = pages.texts[name]
        if len(text.encode()) > most_bytes:
            problems.append(f"{name}: {len(text.encode())} bytes, at most {most_bytes}")
        if screens(text) > most_screens:
            problems.append(f"{name}: {screens(text):.1f} screens, at most {most_screens}")
    start = pages.texts["README.md"].partition("\n## In other places\n")[0]
    if screens(start) > 1.2:
        problems.append(f"README.md: the start takes {screens(start):.1f} screens")
    return problems


_PAGE_WIDTH, _CODE_WIDTH, _CELL_PADDING = 880, 8.2, 38
"""Pixels: of a page, of a character of code, and of a cell beside its text."""


def check_tables_fit_the_page(pages: Pages) -> list[str]:
    """No table of the pages for users is wider than a page: names in code do not break."""
    problems = []
    for name, text in pages.texts.items():
        if not name.startswith(DOCS.removesuffix(".md")):
            continue
        for block in re.findall(r"(?:^ *\|.*\n)+", re.sub(r"\]\([^)]*\)", "", text), re.M):
            rows = [line.strip().strip("|").split("|") for line in block.splitlines()]
            columns = map(" ".join, zip(*rows, strict=True))
            longest = [max(map(len, _WORDS.split(column))) for column in columns]
            width = sum(longest) * _CODE_WIDTH + len(longest) * _CELL_PADDING
            if width > _PAGE_WIDTH:
                problems.append(f"{name}: a table of {width:.0f} pixels, {block[:60]!r}")
    return problems


_WORDS = re.compile(r"<br/>|[\s`*]+")

_ODD = (
    r"\banew\b",
    r"\bmend(?:s|ed|ing)?\b",
    r"\bin place of\b",
    r"\bwithout a word\b",
    r"\b(?:is|are|was|were|be) told\b",
    r"\btells? (?:of|that|which|whether)\b",
    r"\bstruck out\b",
    r"\bbe had\b",
    r"\bg(?:o|oes|oing) on behind\b",
    r"\bsentence that says\b",
    r"\banswer(?:s|ed|ing)?\b",
)
"""Words that read as translated, and worn-out ones. AGENTS.md has the glossary."""

_ODD_ON_PAGES = (*_ODD, r"\bso that\b", r"\bnobody\b.*\bnobody\b")
"""For users "so that" is left out altogether, because it is most often used for a result."""


def check_language(pages: Pages) -> list[str]:
    """Pages, messages and the form have none of the words that the glossary replaces."""
    problems = []
    shown = {"messages": "\n".join(all_sentences()), "form": json.dumps(SPEC)}
    for name, text in {**pages.texts, **shown}.items():
        if name == "AGENTS.md":
            text = text.partition("\n## Glossary\n")[0]
        for pattern in _ODD_ON_PAGES:
            found = re.finditer(pattern, prose(text), re.I)
            problems += [f"{name}: {each[0]}" for each in found]
    return problems


def check_language_of_code(pages: Pages) -> list[str]:
    """The same for comments, docstrings, names of tests and descriptions of columns."""
    lines = pages.code.splitlines()
    return [line for line in lines for pattern in _ODD if re.search(pattern, line, re.I)]


def check_named_tests(pages: Pages) -> list[str]:
    known = set()
    for folder in ("unit_tests", "integration_tests"):
        for file in (ROOT / folder).rglob("test_*.py"):
            known.add(file.stem)
            known.update(re.findall(r"^ *def (test_\w+)", file.read_text(encoding="utf-8"), re.M))
    return [
        f"no test {test}"
        for text in pages.texts.values()
        for test in re.findall(r"\btest_\w+", text)
        if test not in known
    ]


def check_example_config(pages: Pages) -> list[str]:
    example = re.search(r"```json\n(.*?)```", pages.texts["README.md"], re.S)
    if not example:
        return ["README shows no configuration"]
    config: dict[str, Any] = json.loads(example[1])
    problems = [error.message for error in Draft7Validator(SPEC).iter_errors(config)]
    return problems + [f"no setting {key}" for key in config if key not in SPEC["properties"]]


def check_commands(pages: Pages) -> list[str]:
    """The commands that bin/ offers, and no others, stand in README and CONTRIBUTING."""
    there = {file.name for file in (ROOT / "bin").iterdir() if not file.name.startswith("_")}
    text = pages.texts["README.md"] + pages.texts["CONTRIBUTING.md"]
    named = set(re.findall(r"(?<![\w/.-])bin/([a-z]\w*)", text))
    return [] if named == there else [f"commands differ by {sorted(named ^ there)}"]


_STREAMS = f"{BESIDE}/streams.md"
_TROUBLE = f"{BESIDE}/troubleshooting.md"
_DESIGN = "docs/design"

CHECKS: tuple[Check[Pages], ...] = (
    Check(check_headers, (DOCS, "## Data type map", "## Data types")),
    Check(check_fixed_text, (DOCS, "restricts access to specific IPs", "restricts IPs")),
    Check(
        check_generated_sections,
        (_STREAMS, "`/api/expense_reports`", "`/api/expenses`"),
        (DOCS, "| records per second of one long list | ", "| records per second | 9"),
        ("README.md", "| source-coupa | ", "| source-coupa | 9"),
    ),
    Check(
        check_diagrams,
        (f"{BESIDE}/data-model.md", " PK, FK\n", " PK\n    integer invoice_id FK\n"),
    ),
    Check(
        check_columns_are_described,
        (f"{BESIDE}/columns.md", "Name for signing in.", ""),
    ),
    Check(
        check_scopes_are_named, (_STREAMS, "<br/>`core.catalog.read` or `core.item.read` |", " |")
    ),
    Check(check_scopes_exist, (DOCS, "`core.contract.read`", "`core.contracts.read`")),
    Check(check_lists_that_are_not_read, (_STREAMS, "| `/api/roles` |", "| `/api/users` |")),
    Check(check_streams_that_differ, (_STREAMS, "| `budget_lines` | in full |", "| | in full |")),
    Check(
        check_kinds_of_streams,
        (f"{_DESIGN}/streams.md", "| `nested_stream` |", "| `nested` |"),
    ),
    Check(check_settings, (DOCS, "0 to 720, default 2", "0 to 72, default 2")),
    Check(check_prerequisites, (DOCS, "- **Instance URL**", "- **Address**")),
    Check(check_troubleshooting, (_TROUBLE, "| … could not be reached |", "| … is away |")),
    Check(
        check_links,
        ("README.md", "](CONTRIBUTING.md)", "](CONTRIBUTION.md)"),
        (DOCS, "](coupa/streams.md#scopes)", "](coupa/streams.md#scope)"),
    ),
    Check(
        check_sizes,
        ("AGENTS.md", "\n## ", "\nA line that says nothing." * 99 + "\n## "),
        ("README.md", "\n## In other places\n", "\n" * 99 + "\n## In other places\n"),
    ),
    Check(
        check_tables_fit_the_page,
        (_STREAMS, "expense reports with", "_".join(["expense_reports"] * 6)),
    ),
    Check(check_language, (DOCS, "Two steps:", "Two steps are told:")),
    Check(check_language_of_code, (CODE, "instead of", "in place of")),
    Check(
        check_named_tests,
        (f"{_DESIGN}/records.md", "`test_the_rule_is_kept`", "`test_the_rule_is_broken`"),
    ),
    Check(check_example_config, ("README.md", '"client_id"', '"client_key"')),
    Check(check_commands, ("README.md", "bin/test", "bin/tests")),
)
