"""The examples in README and docs are valid, their links lead somewhere, and nothing that can be set is left out."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_sora.client.backends import BACKENDS
from airflow_provider_sora.get_provider_info import get_provider_info
from airflow_provider_sora.hooks.settings import ConnectionSettings
from airflow_provider_sora.media.claims import CLAIMS_FOLDER
from airflow_provider_sora.operators.base import SoraVideoOperator
from airflow_provider_sora.operators.record_store import RECORD_KEY
from airflow_provider_sora.operators.video import SoraDownloadVideoOperator, SoraGenerateVideoOperator
from airflow_provider_sora.sensors.video import SoraVideoSensor
from airflow_provider_sora.videos.record import Phase
from airflow_provider_sora.videos.result import VideoResult

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")),
    *sorted(DOCS.glob("*.md")),
]


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(language: str) -> Iterator[Any]:
    """The fenced blocks of a language on every page, each with its page and number for the name of the test."""
    for page in PAGES:
        found = re.findall(rf"^```{language}\n(.*?)^```$", text_of(page), flags=re.MULTILINE | re.DOTALL)
        for number, block in enumerate(found, start=1):
            yield pytest.param(block, id=f"{page.relative_to(REPOSITORY)}-{number}")


def links() -> Iterator[Any]:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
            if not re.match(r"[a-z]+:", target):
                yield pytest.param(page, target, id=f"{page.relative_to(REPOSITORY)}-{target}")


def anchors_of(page: Path) -> set[str]:
    headings = re.findall(r"^#{1,6} (.+)$", text_of(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def section_of(page: Path, heading: str) -> str:
    return text_of(page).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def rows_of(text: str) -> set[str]:
    """The names that tables explain: their first column, where it is code."""
    return set(re.findall(r"^\| `(\w+)`", text, flags=re.MULTILINE))


def arguments_of(*operators: Any) -> set[str]:
    parameters = [p for operator in operators for p in inspect.signature(operator.__init__).parameters.values()]
    return {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}


def fields_of_the_form() -> dict[str, dict[str, Any]]:
    info: dict[str, Any] = get_provider_info()
    [connection_type] = info["connection-types"]
    return dict(connection_type["conn-fields"])


@pytest.mark.parametrize("block", blocks("python"))
def test_python_compiles_and_what_it_imports_exists(block: str) -> None:
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            for name in node.names:
                assert hasattr(module, name.name), f"{node.module} has no {name.name}"
        elif isinstance(node, ast.Import):
            for name in node.names:
                importlib.import_module(name.name)


@pytest.mark.parametrize("block", blocks("python"))
def test_python_builds_its_tasks_with_arguments_that_exist(block: str) -> None:
    exec(compile(block, "documentation", "exec"), {"__name__": "documentation"})  # noqa: S102 - our own pages


@pytest.mark.parametrize("block", blocks("json"))
def test_json_parses(block: str) -> None:
    json.loads(block)


@pytest.mark.parametrize("block", blocks("toml"))
def test_toml_parses(block: str) -> None:
    tomllib.loads(block)


@pytest.mark.parametrize(("page", "target"), links())
def test_a_link_leads_to_a_file_and_a_heading(page: Path, target: str) -> None:
    path, _, anchor = target.partition("#")
    file = page.parent / path if path else page
    assert file.exists()
    if anchor:
        assert anchor in anchors_of(file)


def test_every_page_is_in_the_table_of_contents() -> None:
    contents = set(re.findall(r"^([a-z]+)$", text_of(DOCS / "index.md"), flags=re.MULTILINE))
    assert {page.stem for page in DOCS.glob("*.md")} - {"index"} <= contents


def test_every_field_of_the_connection_is_documented_and_no_other() -> None:
    assert rows_of(section_of(DOCS / "connection.md", "Fields")) == {"host", "password", *fields_of_the_form()}


def test_the_labels_of_the_form_are_the_documented_ones() -> None:
    documented = section_of(DOCS / "connection.md", "Fields")
    for name, field in fields_of_the_form().items():
        assert f"| `{name}` | {field['label']} |" in documented


def test_the_documented_extras_are_accepted() -> None:
    for case in blocks("json"):
        example = json.loads(case.values[0])
        if not str(case.id).startswith(("docs/connection", "docs/quickstart", "README")) or "video_id" in example:
            continue
        ConnectionSettings.parse(
            conn_id="documented",
            host=example.get("host", "https://gateway.example.com/v1"),
            password=example.get("password"),
            extra=example.get("extra", {} if "conn_type" in example else example),
        )


@pytest.mark.parametrize(
    ("heading", "operators"),
    [
        ("SoraGenerateVideoOperator", (SoraGenerateVideoOperator, SoraVideoOperator)),
        ("SoraVideoSensor", (SoraVideoSensor,)),
        ("SoraDownloadVideoOperator", (SoraDownloadVideoOperator,)),
    ],
)
def test_every_argument_of_an_operator_is_documented_and_no_other(heading: str, operators: tuple[type, ...]) -> None:
    assert rows_of(section_of(DOCS / "operators.md", heading)) == arguments_of(*operators)


@pytest.mark.parametrize("operator", [SoraGenerateVideoOperator, SoraVideoSensor, SoraDownloadVideoOperator])
def test_the_arguments_marked_as_templates_are_the_templates(operator: type) -> None:
    section = section_of(DOCS / "operators.md", operator.__name__)
    marked = set(re.findall(r"^\| `(\w+)` \*t\*", section, flags=re.MULTILINE))
    assert marked == set(operator.template_fields)  # type: ignore[attr-defined]


def test_the_documented_result_has_the_real_keys() -> None:
    section = section_of(DOCS / "operators.md", "The result")
    [shown] = re.findall(r"^```json\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)
    document = json.loads(shown)
    assert VideoResult.from_dict(document).to_dict() == document
    assert rows_of(section) == set(document)


def test_what_each_backend_can_do_is_documented() -> None:
    section = section_of(DOCS / "reliability.md", "Fault by fault")
    told = re.findall(r"^\| `(\w+)` \| (yes|no)\b.* \| (yes|no) \| (yes|no) \|$", section, flags=re.MULTILINE)
    assert {name: tuple(word == "yes" for word in words) for name, *words in told} == {
        name: (backend.idempotent, backend.lists, backend.cancels) for name, backend in BACKENDS.items()
    }


def test_the_phases_of_a_record_are_documented_and_no_other() -> None:
    assert rows_of(section_of(DOCS / "reliability.md", "What is on record, and when")) == set(Phase)


@pytest.mark.parametrize("page", ["operators.md", "reliability.md"])
@pytest.mark.parametrize("name", [RECORD_KEY, CLAIMS_FOLDER])
def test_what_a_person_may_have_to_delete_has_its_real_name(page: str, name: str) -> None:
    assert f"`{name}`" in text_of(DOCS / page)
