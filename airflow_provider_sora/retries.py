"""When Airflow should try a task of this provider again."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.sdk import RetryDecision, RetryPolicy

from airflow_provider_sora.exceptions import RateLimitedError, SoraError

if TYPE_CHECKING:
    from airflow.sdk import Context


class SoraRetryPolicy(RetryPolicy):
    """Waits as long as the server asked for after a rate limit, and does not try again in vain.

    What this provider does not know is left to the task's own ``retries`` and ``retry_delay``.
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Decide after a failure.

        :param exception: what the task ended with.
        :param try_number: of this attempt, from 1.
        :param max_tries: how many attempts there may be.
        :param context: the task's context.
        """
        if not isinstance(exception, SoraError):
            return RetryDecision.default()
        if not exception.retryable:
            return RetryDecision.fail(reason=f"{type(exception).__name__}: a retry cannot mend it")
        if isinstance(exception, RateLimitedError) and exception.retry_after is not None:
            return RetryDecision.retry(
                delay=timedelta(seconds=exception.retry_after), reason="the server named the time to wait"
            )
        return RetryDecision.default()


#: For an operator's ``retry_policy``.
SORA_RETRY_POLICY = SoraRetryPolicy()
