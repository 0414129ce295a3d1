"""What the record of earlier attempts means for the next one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_sora.exceptions import RecordError
from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.snapshots.resolution import Environment, resolve
from airflow_provider_sora.videos.job import JobStatus, VideoJob
from airflow_provider_sora.videos.record import NextStep, Phase, SubmissionRecord, next_step
from airflow_provider_sora.videos.request import VideoRequest
from airflow_provider_sora.videos.result import VideoResult

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
REQUEST = VideoRequest(prompt="a paper boat", seconds=10)
OURS, OTHER = "sha256:ours", "sha256:other"


def planned() -> VideoResult:
    version, snapshot = resolve(
        "sora-2-2025-12-08", catalog=Catalog.builtin(), environment=Environment(), host="127.0.0.1", now=NOW
    )
    return VideoResult.planned(version=version, request=REQUEST, snapshot=snapshot, account="sora_default@x")


def intent() -> SubmissionRecord:
    return SubmissionRecord.intent(OURS, planned(), at=NOW)


def submitted() -> SubmissionRecord:
    job = VideoJob(id="video_1", status=JobStatus.QUEUED)
    return intent().advanced(Phase.SUBMITTED, planned().submitted(job, at=NOW))


def finished(*, error: bool = False) -> SubmissionRecord:
    result = planned().submitted(VideoJob(id="video_1", status=JobStatus.COMPLETED), at=NOW)
    if error:
        result = result.failed(code="boom", message="it failed", job="ended")
    return submitted().advanced(Phase.FINISHED, result)


class TestTheNextStep:
    @pytest.mark.parametrize(
        ("record", "fingerprint", "expected"),
        [
            (None, OURS, NextStep.SUBMIT),
            (intent(), OURS, NextStep.RECOVER),
            (submitted(), OURS, NextStep.REATTACH),
            (finished(), OURS, NextStep.COLLECT),
            (finished(error=True), OURS, NextStep.SUBMIT),
            (intent(), OTHER, NextStep.REPLACE),
            (submitted(), OTHER, NextStep.REPLACE),
            (finished(), OTHER, NextStep.SUBMIT),
            (finished(error=True), OTHER, NextStep.SUBMIT),
        ],
    )
    def test_follows_from_the_record_and_the_request_at_hand(
        self, record: SubmissionRecord | None, fingerprint: str, expected: NextStep
    ) -> None:
        assert next_step(record, fingerprint) is expected

    @pytest.mark.parametrize("record", [intent(), submitted(), finished()])
    def test_never_submits_while_a_job_of_the_same_request_may_live(self, record: SubmissionRecord) -> None:
        assert next_step(record, OURS) not in (NextStep.SUBMIT, NextStep.REPLACE)


class TestTheRecord:
    @pytest.mark.parametrize("record", [intent(), submitted(), finished(), finished(error=True)])
    def test_survives_a_store_of_json(self, record: SubmissionRecord) -> None:
        assert SubmissionRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record

    def test_gives_the_whole_result_back_with_the_request(self) -> None:
        result = planned().submitted(VideoJob(id="video_1", status=JobStatus.QUEUED, seed=7), at=NOW)
        record = intent().advanced(Phase.SUBMITTED, result)
        assert record.restored(lambda: {"prompt": "another"}) == result

    def test_leaves_out_a_prompt_that_no_store_takes_and_asks_for_it(self) -> None:
        prompt = "猫" * 32_000
        result = replace(planned(), request={**planned().request, "prompt": prompt})
        record = SubmissionRecord.intent(OURS, result, at=NOW)
        assert len(json.dumps(record.to_dict())) < 4_000
        assert record.restored(lambda: {"prompt": prompt}) == result

    def test_has_a_key_of_its_own_for_each_intent_and_keeps_it(self) -> None:
        first, second = intent(), intent()
        assert first.idempotency_key != second.idempotency_key
        assert first.advanced(Phase.SUBMITTED, planned()).idempotency_key == first.idempotency_key

    @pytest.mark.parametrize(
        "damaged",
        [
            "text",
            [],
            7,
            {},
            {**intent().to_dict(), "phase": "lost"},
            {**intent().to_dict(), "result": None},
            {**intent().to_dict(), "result": {}},
            {key: value for key, value in intent().to_dict().items() if key != "idempotency_key"},
        ],
    )
    def test_that_is_damaged_is_never_taken_for_none(self, damaged: Any) -> None:
        with pytest.raises(RecordError, match="Nothing was submitted") as refused:
            SubmissionRecord.from_dict(damaged)
        assert not refused.value.retryable


class TestTheFingerprint:
    def test_is_the_same_while_an_alias_moves_and_differs_by_what_the_author_wrote(self) -> None:
        def of(request: VideoRequest = REQUEST, **changes: Any) -> str:
            given = {"reference": "sora-2", "environment": "development", "account": "sora_default@x", **changes}
            return request.fingerprint(**given)

        assert of() == of()
        others = [
            of(replace(REQUEST, prompt="a red boat")),
            of(replace(REQUEST, seed=1)),
            of(reference="stable"),
            of(reference=None),
            of(account="sora_other@x"),
        ]
        assert len({of(), *others}) == 6
        assert of(reference="") == of(reference=None)

    def test_takes_the_environment_only_where_it_decides(self) -> None:
        def of(reference: str | None, environment: str) -> str:
            return REQUEST.fingerprint(reference=reference, environment=environment, account="sora_default@x")

        assert of("sora-2-2025-12-08", "staging") == of("sora-2-2025-12-08", "production")
        assert of(None, "staging") != of(None, "production")
