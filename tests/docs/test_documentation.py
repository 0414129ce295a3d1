"""The examples in README and docs are valid, their links lead somewhere, and nothing that can be set is left out."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import backends_table
import criteria_table
import pytest

from airflow_provider_sora.batches.guards import Stop
from airflow_provider_sora.batches.items import ARGUMENTS
from airflow_provider_sora.batches.summary import ItemOutcome, Tally
from airflow_provider_sora.client.backends import BACKENDS
from airflow_provider_sora.evaluation.comparison import Conclusion
from airflow_provider_sora.evaluation.reviews import Order, conclude
from airflow_provider_sora.get_provider_info import get_provider_info
from airflow_provider_sora.hooks.settings import ConnectionSettings
from airflow_provider_sora.media.claims import CLAIMS_FOLDER
from airflow_provider_sora.operators.base import SoraVideoOperator
from airflow_provider_sora.operators.batch import SoraBatchOperator, SoraMergeBatchesOperator
from airflow_provider_sora.operators.batch_records import BATCH_KEY, JOURNALS_FOLDER, PROGRESS_KEY
from airflow_provider_sora.operators.cameo import SoraCreateCameoOperator
from airflow_provider_sora.operators.derived import SoraDerivedVideoOperator
from airflow_provider_sora.operators.evaluation import SoraReproduceVideoOperator, SoraSnapshotWatchOperator
from airflow_provider_sora.operators.quarantine import SoraQuarantineVideosOperator
from airflow_provider_sora.operators.record_store import RECORD_KEY
from airflow_provider_sora.operators.rollout import (
    SoraAdvanceRolloutOperator,
    SoraAnalyzeRolloutOperator,
    SoraHoldRolloutOperator,
    SoraPauseRolloutOperator,
    SoraPromoteRolloutOperator,
    SoraResumeRolloutOperator,
    SoraRollbackRolloutOperator,
    SoraRolloutBranchOperator,
    SoraRolloutOperator,
    SoraStartRolloutOperator,
)
from airflow_provider_sora.operators.rollout_ledger import ABORT_KEY, CHECKPOINT_KEY
from airflow_provider_sora.operators.video import (
    SoraDownloadVideoOperator,
    SoraExtendVideoOperator,
    SoraGenerateVideoOperator,
    SoraStoryboardOperator,
)
from airflow_provider_sora.rollouts import Rollout, Step
from airflow_provider_sora.rollouts.analysis import Action, Reason
from airflow_provider_sora.rollouts.ledger import BY_HAND, Entry, Status
from airflow_provider_sora.rollouts.plan import InFlight, Requirement
from airflow_provider_sora.rollouts.preflight import preflight
from airflow_provider_sora.sensors.video import SoraVideoSensor
from airflow_provider_sora.task_groups import rollout_gate, sora_acceptance
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
    contents = set(re.findall(r"^([a-z-]+)$", text_of(DOCS / "index.md"), flags=re.MULTILINE))
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
        if (
            not str(case.id).startswith(("docs/connection", "docs/quickstart", "docs/backends", "README"))
            or "video_id" in example
        ):
            continue
        ConnectionSettings.parse(
            conn_id="documented",
            host=example.get("host", "https://gateway.example.com/v1"),
            password=example.get("password"),
            extra=example.get("extra", {} if "conn_type" in example else example),
        )


OPERATORS: list[tuple[str, str, tuple[Any, ...]]] = [
    ("operators.md", "SoraGenerateVideoOperator", (SoraGenerateVideoOperator, SoraVideoOperator)),
    ("operators.md", "Remix, edit, extend", (SoraExtendVideoOperator, SoraDerivedVideoOperator)),
    ("operators.md", "SoraVideoSensor", (SoraVideoSensor,)),
    ("operators.md", "SoraDownloadVideoOperator", (SoraDownloadVideoOperator,)),
    ("lifecycle.md", "Reproduce a video", (SoraReproduceVideoOperator,)),
    ("lifecycle.md", "Watch the snapshots' lives", (SoraSnapshotWatchOperator,)),
    ("storyboards.md", "SoraStoryboardOperator", (SoraStoryboardOperator,)),
    ("cameos.md", "SoraCreateCameoOperator", (SoraCreateCameoOperator,)),
    ("batches.md", "SoraBatchOperator", (SoraBatchOperator,)),
    ("batches.md", "SoraMergeBatchesOperator", (SoraMergeBatchesOperator,)),
]


@pytest.mark.parametrize(("page", "heading", "operators"), OPERATORS)
def test_every_argument_of_an_operator_is_documented_and_no_other(
    page: str, heading: str, operators: tuple[Any, ...]
) -> None:
    assert rows_of(section_of(DOCS / page, heading)) == arguments_of(*operators)


@pytest.mark.parametrize(("page", "heading", "operators"), OPERATORS)
def test_the_arguments_marked_as_templates_are_the_templates(
    page: str, heading: str, operators: tuple[Any, ...]
) -> None:
    marked = set(re.findall(r"^\| `(\w+)` \*t\*", section_of(DOCS / page, heading), flags=re.MULTILINE))
    assert marked == set(operators[0].template_fields) & arguments_of(*operators)


def test_the_documented_result_has_the_real_keys() -> None:
    section = section_of(DOCS / "operators.md", "The result")
    [shown] = re.findall(r"^```json\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)
    document = json.loads(shown)
    assert VideoResult.from_dict(document).to_dict() == document
    assert rows_of(section) == set(document)


def test_what_each_backend_can_do_is_documented() -> None:
    section = section_of(DOCS / "reliability.md", "Fault by fault")
    told = re.findall(r"^\| `([\w-]+)` \| (yes|no)\b.* \| (yes|no) \| (yes|no) \|$", section, flags=re.MULTILINE)
    assert {name: tuple(word == "yes" for word in words) for name, *words in told} == {
        name: (backend.idempotent, backend.lists, backend.cancels) for name, backend in BACKENDS.items()
    }


def test_the_table_of_backends_is_that_of_their_profiles() -> None:
    page = text_of(DOCS / "backends.md")
    assert backends_table.in_page(page) == page, "run `make backends`"


def test_the_table_of_criteria_is_what_a_comparison_judges_by() -> None:
    page = text_of(DOCS / "comparison.md")
    assert criteria_table.in_page(page) == page, "run `make criteria`"


def test_what_the_table_of_backends_says_is_shown_by_a_test_is() -> None:
    assert set(backends_table.SHOWN_BY) <= set(BACKENDS)
    for by_row in backends_table.SHOWN_BY.values():
        assert set(by_row) <= set(backends_table.rows())
        for shown_by in by_row.values():
            file, _, name = shown_by.partition("::")
            assert f"def {name}(" in text_of(REPOSITORY / "tests" / file), shown_by


@pytest.mark.parametrize("page", ["backends.md", "quickstart.md"])
def test_every_backend_is_named(page: str) -> None:
    told = set(re.findall(r"`([\w-]+)`", text_of(DOCS / page)))
    assert set(BACKENDS) <= told


def test_the_versions_of_the_peers_are_the_ones_that_are_tested() -> None:
    section = text_of(DOCS / "backends.md").partition("### How this is known")[2]
    for file in ("litellm.txt", "engines.txt"):
        for version in re.findall(
            r"^[a-z][\w\[\]-]*==([\d.]+)", text_of(REPOSITORY / "tests" / "peers" / file), re.MULTILINE
        ):
            assert f"| {version} |" in section


def test_the_phases_of_a_record_are_documented_and_no_other() -> None:
    assert rows_of(section_of(DOCS / "reliability.md", "What is on record, and when")) == set(Phase)


@pytest.mark.parametrize("page", ["operators.md", "reliability.md"])
@pytest.mark.parametrize("name", [RECORD_KEY, CLAIMS_FOLDER])
def test_what_a_person_may_have_to_delete_has_its_real_name(page: str, name: str) -> None:
    assert f"`{name}`" in text_of(DOCS / page)


def test_every_field_of_an_item_is_documented_and_no_other() -> None:
    assert rows_of(section_of(DOCS / "batches.md", "Items")) == {"key", "priority", *ARGUMENTS}


def test_all_that_stops_a_batch_is_documented_and_nothing_else() -> None:
    told = section_of(DOCS / "batches.md", "Limits").partition("### What stops a batch")[2]
    assert rows_of(told) == set(Stop)


def test_each_outcome_of_an_item_is_documented_and_no_other() -> None:
    assert rows_of(section_of(DOCS / "batches.md", "What became of each item")) == set(ItemOutcome)


def test_the_documented_summary_has_the_real_keys() -> None:
    section = section_of(DOCS / "batches.md", "The summary")
    [shown] = re.findall(r"^```json\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)
    now = datetime.now(UTC)
    real = Tally().summary(manifest="manifest.jsonl", began_at=now, ended_at=now, stopped=("deadline", "It is over."))
    document = json.loads(shown)
    assert list(document) == list(real)
    for name in ("render_seconds", "attempts", "usage", "stopped"):
        assert list(document[name]) == list(real[name])


@pytest.mark.parametrize("name", [BATCH_KEY, PROGRESS_KEY, JOURNALS_FOLDER])
def test_what_a_batch_leaves_has_its_real_name(name: str) -> None:
    assert f"`{name}`" in text_of(DOCS / "batches.md")


ROLLOUTS = DOCS / "rollouts.md"
ROLLOUT_TASKS = (
    SoraStartRolloutOperator,
    SoraAnalyzeRolloutOperator,
    SoraRolloutBranchOperator,
    SoraAdvanceRolloutOperator,
    SoraPromoteRolloutOperator,
    SoraHoldRolloutOperator,
    SoraPauseRolloutOperator,
    SoraResumeRolloutOperator,
    SoraRollbackRolloutOperator,
)


def parameters_of(*callables: Any) -> set[str]:
    return {name for each in callables for name in inspect.signature(each).parameters}


def test_each_action_and_reason_of_a_verdict_is_documented_and_no_other() -> None:
    nights, _, gate = section_of(ROLLOUTS, "What happens each night").partition("### rollout_gate")
    assert rows_of(nights) == {*Action, *Reason}
    assert rows_of(gate) == parameters_of(rollout_gate)


def test_every_argument_of_a_plan_is_documented_and_no_other() -> None:
    assert rows_of(section_of(ROLLOUTS, "The plan")) == parameters_of(Rollout, Step)


def test_every_task_of_a_rollout_and_its_arguments_are_documented_and_no_other() -> None:
    arguments = arguments_of(SoraRolloutOperator, *ROLLOUT_TASKS)
    section = section_of(ROLLOUTS, "The tasks")
    assert rows_of(section) == arguments | {task.__name__ for task in ROLLOUT_TASKS}
    marked = set(re.findall(r"^\| `(\w+)` \*t\*", section, flags=re.MULTILINE))
    assert marked == arguments & {name for task in ROLLOUT_TASKS for name in task.template_fields}
    assert all(f"`{status}`" in section for status in Status)


def test_each_requirement_of_a_plan_is_documented_and_no_other() -> None:
    told = section_of(ROLLOUTS, "Before it starts").partition("### What a rollout may require")[2]
    assert set(re.findall(r'^\| `"(\w+)"`', told, flags=re.MULTILINE)) == set(get_args(Requirement))


def test_every_argument_of_an_acceptance_and_each_conclusion_is_documented_and_no_other() -> None:
    page = DOCS / "acceptance.md"
    assert rows_of(section_of(page, "sora_acceptance")) == parameters_of(sora_acceptance)
    outcome = section_of(page, "What comes of it")
    assert rows_of(outcome) == set(get_args(Conclusion))
    [shown] = re.findall(r"^```json\n(.*?)^```$", outcome, flags=re.MULTILINE | re.DOTALL)
    real = conclude([], order=Order(a="baseline")).to_dict()
    given = ["format", "baseline", "candidate", "comparison", "compared_by", "server", "made_at", "made_by"]
    assert list(json.loads(shown)) == [*given, *real]


def test_every_argument_of_setting_aside_is_documented_and_no_other() -> None:
    told = section_of(ROLLOUTS, "Setting videos aside").partition("### What is set aside")[0]
    assert rows_of(told) == arguments_of(SoraQuarantineVideosOperator)
    assert set(re.findall(r"^\| `(\w+)` \*t\*", told, flags=re.MULTILINE)) == set(
        SoraQuarantineVideosOperator.template_fields
    )


def test_each_policy_for_running_jobs_is_documented_and_no_other() -> None:
    told = section_of(ROLLOUTS, "To go back").partition("### Running jobs")[2].partition("\n### ")[0]
    assert rows_of(told) == set(get_args(InFlight))


def test_what_a_person_is_to_write_into_an_asset_event_counts() -> None:
    told = section_of(ROLLOUTS, "To go back").partition("### In Airflow's UI")[2].partition("\n### ")[0]
    [entry] = re.findall(r"^```json\n(.*?)^```$", told, flags=re.MULTILINE | re.DOTALL)
    assert Entry.from_dict(json.loads(entry)).transition in BY_HAND
    assert all(f"`{json.dumps(word.value)}`" in told or word.value in entry for word in BY_HAND)


def test_what_few_videos_find_out_is_as_documented() -> None:
    day = timedelta(days=1)
    steps = [Step("10%", bake=day), Step("50%", bake=day), Step("100%", bake=day)]
    plan = Rollout("documented", baseline="old", candidate="new", steps=steps)
    told = section_of(ROLLOUTS, "Before it starts")
    rows = re.findall(r"^\| ([\d,]+) \| (\d+)(: refused)? \| (\d+) points \| (\d+) \|$", told, flags=re.MULTILINE)
    assert len(rows) == 7
    for jobs, nights, refused, points, to_pass in rows:
        found = preflight(
            plan,
            jobs_per_night=int(jobs.replace(",", "")),
            today=date(2026, 11, 23),
            shutdown=None,
            candidate_shutdown=None,
        )
        first, second, _ = found.steps
        assert (first["nights_needed"], f"{100 * first['detectable_rise']:.0f}") == (int(nights), points)
        assert (second["nights_to_pass"], bool(found.objections)) == (int(to_pass), bool(refused))


@pytest.mark.parametrize("name", [ABORT_KEY, CHECKPOINT_KEY])
def test_what_a_rollout_keeps_has_its_real_name(name: str) -> None:
    assert f"`{name}`" in section_of(ROLLOUTS, "The ledger")
