"""How this package's errors end an Airflow task."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_sora.exceptions import SoraError


class SoraFailException(AirflowFailException):
    """A failure that a retry cannot mend: Airflow ends the task at once. ``__cause__`` is the :class:`SoraError`."""


@contextmanager
def no_retry_in_vain() -> Iterator[None]:
    """Turn the errors that waiting does not mend into :class:`SoraFailException`; let the others through as they are.

    :raises SoraFailException: an error with ``retryable = False`` was raised inside.
    """
    try:
        yield
    except SoraError as error:
        if error.retryable:
            raise
        raise SoraFailException(str(error)) from error
