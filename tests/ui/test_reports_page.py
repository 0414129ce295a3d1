"""The report of a comparison in the browser: the one that its task wrote, and nothing else."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow_stack import AirflowStack
from metadata_rows import MetadataRows
from moto_server import MotoS3

from airflow_provider_sora.reports.names import report_name, thumbnails_name

pytestmark = pytest.mark.system

REPORT = "<!doctype html><title>Möwe</title><p>It passes."
BLIND = "<!doctype html><title>A or B?</title>"


class Comparison:
    """A task that compared snapshots.

    :param pages: the API server.
    :param rows: writes what tasks would have left.
    """

    def __init__(self, pages: AirflowStack, rows: MetadataRows) -> None:
        self._pages, self._rows = pages, rows
        self._dag_id = rows.dag()
        (self._run,) = rows.runs(self._dag_id)

    def name(self, *, blind: bool = False) -> str:
        """What it calls its report."""
        return report_name(dag_id=self._dag_id, run_id=self._run[1], task_id="compare", map_index=-1, blind=blind)

    @property
    def thumbnails(self) -> str:
        """What it calls the picture for reviewers."""
        return thumbnails_name(dag_id=self._dag_id, run_id=self._run[1], task_id="compare", map_index=-1)

    def ends(self, **output: Any) -> None:
        """Leave an XCom."""
        self._rows.tasks(self._dag_id, self._run, [{"version": None, **output}], task_id="compare")

    def ask(self, query: str = "", *, user: str = "viewer", **headers: str) -> httpx.Response:
        """Ask for its report."""
        path = f"/sora/reports/{self._dag_id}/{self._run[1]}/compare/-1{query}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._pages.request("GET", path, headers=named, user=user)


@pytest.fixture
def comparison(pages: AirflowStack, rows: MetadataRows) -> Comparison:
    return Comparison(pages, rows)


def digest(text: str) -> str:
    """The hash of a file, as an XCom has it."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def written(folder: Path, name: str, text: str) -> str:
    """The address of a new file."""
    (folder / name).write_text(text)
    return f"file://{folder / name}"


class TestTheReport:
    def test_is_shown_as_a_page_that_can_do_nothing(self, comparison: Comparison, tmp_path: Path) -> None:
        comparison.ends(report=written(tmp_path, comparison.name(), REPORT), report_sha256=digest(REPORT))
        answer = comparison.ask()
        assert (answer.status_code, answer.text) == (200, REPORT)
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        policy = [part.strip() for part in answer.headers["content-security-policy"].split(";")]
        assert {"sandbox allow-same-origin", "default-src 'none'", "frame-ancestors 'self'"} < set(policy)
        assert {"img-src data:", "media-src data:", "style-src 'unsafe-inline'"} < set(policy)
        assert answer.headers["x-content-type-options"] == "nosniff"

    def test_is_the_blind_one_on_demand(self, comparison: Comparison, tmp_path: Path) -> None:
        comparison.ends(
            report=written(tmp_path, comparison.name(), REPORT),
            report_sha256=digest(REPORT),
            blind_report=written(tmp_path, comparison.name(blind=True), BLIND),
            blind_report_sha256=digest(BLIND),
        )
        assert [comparison.ask(query).text for query in ("", "?blind=1", "?blind=0")] == [REPORT, BLIND, REPORT]

    def test_has_thumbnails_for_the_form_that_asks(self, comparison: Comparison, tmp_path: Path) -> None:
        comparison.ends(
            thumbnails=written(tmp_path, comparison.thumbnails, "a picture"), thumbnails_sha256=digest("a picture")
        )
        answer = comparison.ask("/thumbnails")
        assert (answer.status_code, answer.text, answer.headers["content-type"]) == (200, "a picture", "image/jpeg")

    def test_has_no_other_file_as_thumbnails(self, comparison: Comparison, tmp_path: Path) -> None:
        comparison.ends(thumbnails=written(tmp_path, comparison.name(), REPORT), thumbnails_sha256=digest(REPORT))
        assert comparison.ask("/thumbnails").status_code == 403

    def test_is_not_sent_again_to_who_has_it(self, comparison: Comparison, tmp_path: Path) -> None:
        comparison.ends(report=written(tmp_path, comparison.name(), REPORT), report_sha256=digest(REPORT))
        etag = comparison.ask().headers["etag"]
        answer = comparison.ask(if_none_match=etag)
        assert (answer.status_code, answer.content) == (304, b"")

    def test_may_be_in_an_object_store(self, comparison: Comparison, stack_s3: MotoS3) -> None:
        bucket = f"b{os.urandom(8).hex()}"
        stack_s3.create_bucket(bucket)
        stack_s3.client.put_object(Bucket=bucket, Key=f"reports/{comparison.name()}", Body=REPORT.encode())
        address = f"s3://aws_default@{bucket}/reports/{comparison.name()}"
        comparison.ends(report=address, report_sha256=digest(REPORT))
        assert comparison.ask().text == REPORT


class TestNothingElse:
    @pytest.mark.parametrize("output", [{}, {"report": 7}, {"report": "/a.html", "report_sha256": "sha256:0"}])
    def test_is_shown_where_a_task_names_no_report(self, comparison: Comparison, output: dict[str, Any]) -> None:
        comparison.ends(**output)
        answer = comparison.ask()
        assert answer.status_code == 404
        assert "names no report" in answer.text
        assert "unsafe" not in answer.headers["content-security-policy"]

    @pytest.mark.parametrize("is_blind", [True, False])
    def test_is_shown_of_another_name(self, comparison: Comparison, tmp_path: Path, is_blind: bool) -> None:
        name = comparison.name(blind=True) if is_blind else "other.html"
        comparison.ends(report=written(tmp_path, name, REPORT), report_sha256=digest(REPORT))
        answer = comparison.ask()
        assert answer.status_code == 403
        assert "not the report that this task writes" in answer.text
        assert "It passes." not in answer.text

    def test_is_shown_after_the_file_was_changed(self, comparison: Comparison, tmp_path: Path) -> None:
        comparison.ends(report=written(tmp_path, comparison.name(), REPORT), report_sha256=digest(BLIND))
        answer = comparison.ask()
        assert answer.status_code == 403
        assert "changed since" in answer.text
        assert "It passes." not in answer.text

    def test_is_read_through_a_link(self, comparison: Comparison, tmp_path: Path) -> None:
        written(tmp_path, "secret.html", REPORT)
        (tmp_path / comparison.name()).symlink_to(tmp_path / "secret.html")
        comparison.ends(report=f"file://{tmp_path / comparison.name()}", report_sha256=digest(REPORT))
        assert comparison.ask().status_code == 403

    @pytest.mark.parametrize("scheme", ["http://127.0.0.1:1/", "memory://", "zip://a.html::file:///tmp/"])
    def test_is_fetched_from_elsewhere(self, comparison: Comparison, scheme: str) -> None:
        comparison.ends(report=f"{scheme}{comparison.name()}", report_sha256=digest(REPORT))
        assert comparison.ask().status_code == 403

    def test_is_read_that_is_too_large(self, comparison: Comparison, tmp_path: Path) -> None:
        address = written(tmp_path, comparison.name(), REPORT)
        os.truncate(tmp_path / comparison.name(), 64 * 1024 * 1024 + 1)
        comparison.ends(report=address, report_sha256=digest(REPORT))
        answer = comparison.ask()
        assert answer.status_code == 403
        assert "larger than 64 MiB" in answer.text

    def test_is_there_that_was_deleted(self, comparison: Comparison, tmp_path: Path) -> None:
        comparison.ends(report=f"file://{tmp_path / comparison.name()}", report_sha256=digest(REPORT))
        assert comparison.ask().status_code == 404
