"""When Airflow tries again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.sdk import RetryAction

from airflow_provider_sora.exceptions import (
    InvalidRequestError,
    ModerationError,
    RateLimitedError,
    ServerError,
    UncertainSubmissionError,
    UnpinnedSnapshotError,
)
from airflow_provider_sora.retries import SORA_RETRY_POLICY


def decision(error: BaseException) -> tuple[RetryAction, timedelta | None]:
    decided = SORA_RETRY_POLICY.evaluate(error, try_number=1, max_tries=3)
    return decided.action, decided.retry_delay


def test_a_rate_limit_is_waited_out_as_the_server_said() -> None:
    assert decision(RateLimitedError("429", retry_after=90.0)) == (RetryAction.RETRY, timedelta(seconds=90))


@pytest.mark.parametrize("error", [RateLimitedError("429"), ServerError("503"), ValueError("not ours")])
def test_what_may_pass_is_left_to_the_task(error: BaseException) -> None:
    assert decision(error) == (RetryAction.DEFAULT, None)


@pytest.mark.parametrize(
    "error",
    [
        ModerationError("refused"),
        InvalidRequestError("26 s"),
        UnpinnedSnapshotError("sora-2"),
        UncertainSubmissionError("look at the list"),
    ],
)
def test_what_a_retry_cannot_mend_ends_at_once(error: BaseException) -> None:
    assert decision(error)[0] is RetryAction.FAIL
