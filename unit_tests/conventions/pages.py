"""The prose says what the code does, and the docs page keeps to Airbyte's template."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from jsonschema import Draft7Validator

from integration_tests.reference import page
from integration_tests.reference import tables as made_tables
from integration_tests.reference.manifest import MANIFEST, ROOT, SCOPES, STREAMS
from unit_tests.evidence import endpoints
from unit_tests.sentences import GAP, all_sentences

from .rules import Check

SPEC = MANIFEST["spec"]["connection_specification"]


@dataclass(frozen=True)
class Pages:
    """The text of every page."""

    docs: str
    readme: str
    agents: str
    contributing: str
    reliability: str

    @classmethod
    def read(cls) -> Pages:
        return cls(
            docs=_text("docs/integrations/sources/coupa.md"),
            readme=_text("README.md"),
            agents=_text("AGENTS.md"),
            contributing=_text("CONTRIBUTING.md"),
            reliability=_text("docs/reliability.md"),
        )

    def with_edit(self, *edit: str) -> Pages:
        """(page, old, new): the pages with all of `old` replaced in one."""
        page, old, new = edit
        text = getattr(self, page)
        assert old in text, f"{page} holds no {old!r}"
        return replace(self, **{page: text.replace(old, new)})


def _text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


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


def headers(text: str) -> list[str]:
    """The texts of all headers, code blocks left out."""
    return re.findall(r"^#{1,4} (.+)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)


def section(text: str, header: str) -> str:
    """What follows a header up to the next one, "" if the page has no such header."""
    found = re.search(rf"^#+ {re.escape(header)}\n(.*?)(?=^#+ |\Z)", text, re.M | re.S)
    return found[1] if found else ""


def tables(text: str) -> Iterator[list[dict[str, str]]]:
    """The rows of each table, by column; backticks left out."""
    for block in re.findall(r"(?:^ *\|.*\n)+", text, re.M):
        heads, _, *rows = (
            [cell.strip().replace("`", "") for cell in line.strip().strip("|").split("|")]
            for line in block.splitlines()
        )
        yield [dict(zip(heads, row, strict=True)) for row in rows]


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


def check_made_sections(pages: Pages) -> list[str]:
    """The tables of streams and scopes, the diagram, and the figures of the benchmark."""
    written = {page.PAGE: pages.docs, page.README: pages.readme}
    return [
        f"{path.name}: run python -m integration_tests.reference"
        for path, sections in page.SECTIONS.items()
        if written[path] != page.renewed(written[path], sections)
    ]


def check_scopes_are_told(pages: Pages) -> list[str]:
    """The docs page names the scopes of each stream as the manifest does."""
    rows = table(pages.docs, "Stream", "Endpoint", "Scope")
    told = {(row["Stream"], row["Scope"]) for row in rows}
    wanted = {(stream.name, made_tables.needs(stream).replace("`", "")) for stream in STREAMS}
    return [f"scopes differ: {difference}" for difference in sorted(told ^ wanted)]


def check_scopes_exist(pages: Pages) -> list[str]:
    """Each read scope that the docs page names is one that a stream uses."""
    named = set(re.findall(r"core\.[\w.]+\.read\b", pages.docs))
    return [f"no stream uses {scope}" for scope in sorted(named - set(SCOPES))]


def check_lists_that_are_not_read(pages: Pages) -> list[str]:
    """Each list that Coupa documents is read by a stream, or the docs page says why not."""
    told = {
        path.removeprefix("/api/")
        for row in table(pages.docs, "List", "Why")
        for path in row["List"].split(", ")
    }
    left_out = endpoints().keys() - {stream.path for stream in STREAMS}
    problems = [] if told == left_out else [f"lists differ by {sorted(told ^ left_out)}"]
    names = {stream.name for stream in STREAMS}
    for row in table(pages.docs, "List", "Why"):
        see = re.findall(r"see (\w+)(?: and (\w+))?", row["Why"])
        problems += [
            f"no stream {name}" for found in see for name in found if name not in {*names, ""}
        ]
    return problems


def check_streams_that_differ(pages: Pages) -> list[str]:
    """Streams that are read in full, or with a look-back window of their own, are told by name."""
    told = {
        name
        for row in table(pages.docs, "Stream", "How it is read", "Why")
        for name in re.findall(r"[a-z_]+", row["Stream"])
    }
    wanted = {
        stream.name
        for stream in STREAMS
        if stream.base in ("full_refresh_stream", "week_back_stream")
    }
    return [f"{name}: how it is read is missing" for name in sorted(wanted - told)]


def check_kinds_of_streams(pages: Pages) -> list[str]:
    """The maintainers' table has a row for each base definition that the manifest uses."""
    rows = table(pages.agents, "Base definition", "Cursor field", "Streams")
    told = {row["Base definition"]: row for row in rows}
    problems = []
    for base in dict.fromkeys(stream.base for stream in STREAMS):
        streams = [stream.name for stream in STREAMS if stream.base == base]
        row = told.pop(base, None)
        if row is None:
            problems.append(f"no row for {base}")
        elif len(streams) <= 10 and row["Streams"] != ", ".join(streams):
            problems.append(f"{base}: {row['Streams']} is not {', '.join(streams)}")
    return problems + [f"no stream is a {base}" for base in told]


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
    """Each sentence has its row, each row a sentence that begins with it."""
    sentences = all_sentences()
    rows = [row["Message"] for row in table(pages.docs, "Message", "What to do")]
    problems = [
        f"no row: {sentence}" for sentence in sentences if not sentence.startswith(tuple(rows))
    ]
    for row in rows:
        if not any(sentence.startswith(row) for sentence in sentences):
            problems.append(f"no sentence: {row}")
        if len(row.replace(GAP, "")) < 12:
            problems.append(f"too short to tell sentences apart: {row}")
    return problems


def check_links(pages: Pages) -> list[str]:
    """Files that are linked to exist, also those that are only named; headers too."""
    problems = []
    for name, text in vars(pages).items():
        base = page.PAGE.parent if name == "docs" else ROOT
        anchors = {
            re.sub(r"[^\w\- ]", "", header.lower()).replace(" ", "-") for header in headers(text)
        }
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if target.startswith("http://"):
                problems.append(f"{name}: {target} is not https")
            elif target.startswith("#"):
                if target[1:] not in anchors:
                    problems.append(f"{name}: no header {target}")
            elif target.startswith(("https://", "/")):
                continue
            elif not (base / target.partition("#")[0]).exists():
                problems.append(f"{name}: no file {target}")
        for path in re.findall(r"`((?:[\w.*-]+/)+[\w.*-]*)`", text):
            if name != "docs" and not any(ROOT.glob(path.rstrip("/"))):
                problems.append(f"{name}: no file {path}")
    return problems


def check_named_tests(pages: Pages) -> list[str]:
    known = set()
    for folder in ("unit_tests", "integration_tests"):
        for file in (ROOT / folder).rglob("test_*.py"):
            known.add(file.stem)
            known.update(re.findall(r"^ *def (test_\w+)", file.read_text(encoding="utf-8"), re.M))
    return [
        f"no test {test}"
        for text in vars(pages).values()
        for test in re.findall(r"\btest_\w+", text)
        if test not in known
    ]


def check_example_config(pages: Pages) -> list[str]:
    example = re.search(r"```json\n(.*?)```", pages.readme, re.S)
    if not example:
        return ["README shows no configuration"]
    config: dict[str, Any] = json.loads(example[1])
    problems = [error.message for error in Draft7Validator(SPEC).iter_errors(config)]
    return problems + [f"no setting {key}" for key in config if key not in SPEC["properties"]]


def check_commands(pages: Pages) -> list[str]:
    """The commands that bin/ offers, and no others, stand in README and CONTRIBUTING."""
    there = {file.name for file in (ROOT / "bin").iterdir() if not file.name.startswith("_")}
    told = set(re.findall(r"(?<![\w/.-])bin/([a-z]\w*)", pages.readme + pages.contributing))
    return [] if told == there else [f"commands differ by {sorted(told ^ there)}"]


CHECKS: tuple[Check[Pages], ...] = (
    Check(check_headers, ("docs", "## Data type map", "## Data types")),
    Check(check_fixed_text, ("docs", "restricts access to specific IPs", "restricts IPs")),
    Check(
        check_made_sections,
        ("docs", "`/api/expense_reports`", "`/api/expenses`"),
        ("docs", "| records per second of one long list | ", "| records per second | 9"),
        ("readme", "| source-coupa | ", "| source-coupa | 9"),
    ),
    Check(check_scopes_are_told, ("docs", "| `core.catalog.read` or `core.item.read` |", "| |")),
    Check(check_scopes_exist, ("docs", "`core.contract.read`", "`core.contracts.read`")),
    Check(check_lists_that_are_not_read, ("docs", "| `/api/roles` |", "| `/api/users` |")),
    Check(check_streams_that_differ, ("docs", "| `budget_lines` | in full |", "| | in full |")),
    Check(check_kinds_of_streams, ("agents", "| `nested_stream` |", "| `nested` |")),
    Check(check_settings, ("docs", "0 to 720, default 2", "0 to 72, default 2")),
    Check(check_prerequisites, ("docs", "- **Instance URL**", "- **Address**")),
    Check(check_troubleshooting, ("docs", "| … could not be reached |", "| … is away from home |")),
    Check(check_links, ("readme", "](CONTRIBUTING.md)", "](CONTRIBUTION.md)")),
    Check(check_named_tests, ("agents", "`test_the_rule_is_kept`", "`test_the_rule_is_broken`")),
    Check(check_example_config, ("readme", '"client_id"', '"client_key"')),
    Check(check_commands, ("readme", "bin/test", "bin/tests")),
)
