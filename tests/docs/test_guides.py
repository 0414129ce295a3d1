"""The guides: the tutorial's DAGs are its code, the messages that are explained exist, the numbers are of today."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import statistics_plots
from generated import replaced

from airflow_provider_sora.media.journal import JOURNAL_VERSION
from airflow_provider_sora.rollouts.analysis import RULES_VERSION
from airflow_provider_sora.rollouts.ledger import LEDGER_VERSION
from airflow_provider_sora.rollouts.plan import PLAN_VERSION

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
TUTORIAL_DAGS = sorted((DOCS / "tutorial_dags").glob("*.py"))


def text_of(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def python_of(name: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", text_of(name), flags=re.MULTILINE | re.DOTALL)


class TestTutorial:
    def test_shows_each_of_its_dag_files_and_no_other_code(self) -> None:
        assert sorted(python_of("tutorial.md")) == sorted(dag.read_text(encoding="utf-8") for dag in TUTORIAL_DAGS)

    @pytest.mark.parametrize("file", TUTORIAL_DAGS, ids=lambda file: file.name)
    def test_has_dags_that_airflow_parses(self, file: Path) -> None:
        from airflow.dag_processing.dagbag import DagBag

        bag = DagBag(str(file))
        assert not bag.import_errors
        assert bag.dags

    @pytest.mark.parametrize("file", TUTORIAL_DAGS, ids=lambda file: file.name)
    def test_triggers_dags_that_are_in_its_files(self, file: Path) -> None:
        triggered = set(re.findall(r"^\$ airflow dags trigger (\w+)", text_of("tutorial.md"), flags=re.MULTILINE))
        defined = set(re.findall(r'^with DAG\("(\w+)"', file.read_text(encoding="utf-8"), flags=re.MULTILINE))
        assert defined <= triggered


def literals(tree: ast.AST) -> Iterator[str]:
    """The texts in a module that are no docstrings, with … where a value is put in."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in docstrings:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"%[sdrg]|%\.\d[fg]", "…", node.value)
        elif isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)


@cache
def texts_of_the_package() -> tuple[str, ...]:
    package = REPOSITORY / "airflow_provider_sora"
    modules = (ast.parse(file.read_text(encoding="utf-8")) for file in package.rglob("*.py"))
    pages = (line for file in package.rglob("*.html") for line in file.read_text(encoding="utf-8").splitlines())
    return (*(text for module in modules for text in literals(module) if " " in text), *pages)


#: Sections of the page whose first column is a message of this package.
MESSAGES = (
    "Connection",
    "Models and the catalogue",
    "Requests that are refused",
    "Submission",
    "Waiting",
    "Files",
    "Batches",
    "Storyboards, cameos, and videos set aside",
)


#: Sections that tell what one sees. A quotation of more than two words in their first column is ours.
SYMPTOMS = ("Rollouts", "The emulator", "Pages in Airflow's UI")


def messages() -> Iterator[Any]:
    for heading in (*MESSAGES, *SYMPTOMS):
        section = text_of("troubleshooting.md").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        table = section.partition("Symptoms without a message")[0]
        for message in re.findall(r"^\| `([^`]+)` (?:\||on the|from)", table, flags=re.MULTILINE):
            if heading in MESSAGES or len(message.split()) > 2:
                yield pytest.param(message, id=f"{heading}-{message}")


class TestTroubleshooting:
    @pytest.mark.parametrize("message", list(messages()))
    def test_explains_a_message_that_the_code_has(self, message: str) -> None:
        pieces = [re.escape(piece.strip()) for piece in message.split("…") if piece.strip()]
        pattern = re.compile(".*?".join(pieces), flags=re.DOTALL)
        assert any(pattern.search(text) for text in texts_of_the_package())

    def test_has_a_table_of_messages_in_each_of_these_sections(self) -> None:
        told = {str(case.id).partition("-")[0] for case in messages()}
        assert told == {*MESSAGES, *SYMPTOMS}


@pytest.fixture(scope="module")
def numbers() -> dict[str, Any]:
    return {name: picture.numbers() for name, picture in statistics_plots.PICTURES.items()}


class TestStatistics:
    @pytest.mark.parametrize("name", statistics_plots.PICTURES)
    def test_a_table_has_the_numbers_of_the_rules(self, name: str, numbers: dict[str, Any]) -> None:
        page = text_of("statistics.md")
        table = statistics_plots.PICTURES[name].tell(numbers[name])
        told = "run `python docs/statistics_plots.py --write`"
        assert replaced(page, name, table) == page, told

    @pytest.mark.parametrize("name", statistics_plots.PICTURES)
    def test_a_picture_was_drawn_from_these_numbers(self, name: str, numbers: dict[str, Any]) -> None:
        picture = statistics_plots.file_of(name).read_text(encoding="utf-8")
        assert statistics_plots.digest(numbers[name]) in picture, "run `python docs/statistics_plots.py --write`"
        assert f"({statistics_plots.file_of(name).name})" in text_of("statistics.md")


class TestUpgrading:
    def test_names_the_version_of_each_format(self) -> None:
        told = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", text_of("upgrading.md"), flags=re.MULTILINE))
        assert told == {
            "ledger_version": str(LEDGER_VERSION),
            "plan_version": str(PLAN_VERSION),
            "rules": str(RULES_VERSION),
            "journal": str(JOURNAL_VERSION),
        }


class TestByHand:
    @pytest.mark.parametrize(("column", "load"), [(0, "mapped: mapped"), (1, "mapped: batch")])
    def test_has_the_numbers_of_the_last_benchmark(self, column: int, load: str) -> None:
        [measured] = re.findall(rf"^\| {load} \| (.+) \|$", text_of("performance.md"), flags=re.MULTILINE)
        told = text_of("by-hand.md").partition("\n## Slots and time\n")[2].partition("\n## ")[0]
        rows = re.findall(r"^\| [a-z].+? \| ([^|]+) \| ([^|]+) \|$", told, flags=re.MULTILINE)
        assert len(rows) == 5
        assert {row[column] for row in rows} <= set(measured.split(" | "))
