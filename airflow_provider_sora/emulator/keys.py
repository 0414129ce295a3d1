"""The idempotency keys that requests bring."""

from __future__ import annotations

from airflow_provider_sora.emulator.bodies import Body
from airflow_provider_sora.emulator.errors import invalid_value
from airflow_provider_sora.emulator.idempotency import fingerprint, replayed
from airflow_provider_sora.emulator.store import Key, Store

MAX_KEY_LENGTH = 255


class IdempotencyKeys:
    """Finds what an equal request with the same key has made before.

    :param store: where used keys are; they are kept as long as it is.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.replays = 0

    def look_up(self, scope: str, value: str | None, body: Body) -> tuple[Key | None, str | None]:
        """Read the key of a request.

        :param scope: of the key: name of the route.
        :param value: of ``Idempotency-Key``, if any.
        :param body: the request.
        :return: what to store with the thing that the request makes, None without a key; and the id of what an
            equal request made before, if one did, which counts as a replay.
        :raises ApiError: 400 for a key that will not do, 422 for the key of another request.
        """
        if value is None:
            return None, None
        if not 1 <= len(value) <= MAX_KEY_LENGTH:
            raise invalid_value("Idempotency-Key", f"An Idempotency-Key has 1 to {MAX_KEY_LENGTH} characters.")
        mark = fingerprint(body.fields, body.files)
        known_id = replayed(self._store.idempotency_record(scope, value), mark)
        if known_id is not None:
            self.replays += 1
        return (scope, value, mark), known_id
