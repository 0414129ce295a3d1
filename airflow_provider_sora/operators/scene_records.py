"""The records of scenes that are jobs of their own, and of the storyboard that they belong to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_sora.exceptions import RecordUnavailableError
from airflow_provider_sora.operators.cancellation import cancel_and_close, cancel_record
from airflow_provider_sora.operators.record_store import RecordStore
from airflow_provider_sora.videos.record import Phase, SubmissionRecord

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_sora.hooks.sora import SoraHook

#: The key in the task's state store: how many scenes may have a record, and of which storyboard.
SCENES_KEY = "sora_scenes"


class SceneRecords:
    """What earlier attempts of a task left of its scenes.

    :param context: the task's context.
    :raises RecordUnavailableError: it could not be read.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        try:
            kept: Any = context["task_state_store"].get(SCENES_KEY) or {}
        except Exception as error:
            raise RecordUnavailableError(
                f"The record of this task's scenes could not be read ({type(error).__name__}: {error}). Nothing was "
                "submitted, since their jobs may be running; a retry looks again."
            ) from error
        self.count: int = kept.get("count", 0)
        """How many scenes may have a record."""
        self.fingerprint: str | None = kept.get("fingerprint")
        """Of the storyboard that they belong to."""

    def begin(self, fingerprint: str, count: int) -> None:
        """Put on record what is about to be rendered.

        :param fingerprint: of the whole request.
        :param count: of its scenes.
        :raises RecordUnavailableError: it could not be written.
        """
        self._put(fingerprint, max(self.count, count))

    def _put(self, fingerprint: str | None, count: int) -> None:
        self.count, self.fingerprint = count, fingerprint
        try:
            self._context["task_state_store"].set(SCENES_KEY, {"count": self.count, "fingerprint": fingerprint})
        except Exception as error:
            raise RecordUnavailableError(
                f"The record of this task's scenes could not be written ({type(error).__name__}: {error}). Nothing was "
                "submitted."
            ) from error

    def load(self, place: int) -> SubmissionRecord | None:
        """The record of a scene, None where there is none.

        :param place: of the scene, from 0.
        """
        return self._store(place).load()

    def open(self) -> dict[int, SubmissionRecord]:
        """The records, by place, of scenes whose jobs are with the server, or may be."""
        records = {place: self.load(place) for place in range(self.count)}
        return {
            place: record
            for place, record in records.items()
            if record is not None and record.phase is not Phase.FINISHED
        }

    def cancel_open(self, hook: SoraHook, places: Iterable[int]) -> None:
        """Cancel the jobs of scenes that the task, which was since changed, does not have any more.

        :param hook: the server.
        :param places: of the scenes, from 0.
        :raises APIError: the server is in passing trouble; a retry cancels them.
        """
        still_open = self.open()
        for place in places:
            if place in still_open:
                cancel_and_close(hook, self._store(place), still_open[place], of="storyboard")

    def take_back(self, hook: SoraHook) -> None:
        """Cancel and forget the jobs of all scenes, which the candidate of a rollout rendered that was rolled back.

        :param hook: the server.
        :raises APIError: the server is in passing trouble; a retry cancels them.
        """
        for place in range(self.count):
            record = self.load(place)
            if record is None:
                continue
            if record.phase is not Phase.FINISHED:
                cancel_record(hook, record, why="its rollout was rolled back")
            scene = record.restored(dict)
            failed = scene.failed(
                code="rolled_back",
                message="The rollout was rolled back before the clip was joined.",
                job="cancelled where it ran and the server can, else billed; its file is not used",
            )
            # It is no failure of the scene.
            over = replace(failed, first_attempt_failed=scene.first_attempt_failed)
            self._store(place).save(record.advanced(Phase.FINISHED, over))
        self._put(None, self.count)

    def _store(self, place: int) -> RecordStore:
        return RecordStore(self._context, item=scene_name(place))


def scene_name(place: int) -> str:
    """What a scene's record and file are called after.

    :param place: of the scene, from 0.
    """
    return f"scene-{place + 1}"
