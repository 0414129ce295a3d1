"""Looking at what needs snapshots, and at the servers that serve them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from airflow_provider_sora.client.client import dates_of
from airflow_provider_sora.exceptions import (
    APIError,
    ConfigurationError,
    LedgerUnavailableError,
    NotStoredError,
    SoraError,
)
from airflow_provider_sora.hooks.sora import SoraHook
from airflow_provider_sora.media.records import records_at
from airflow_provider_sora.media.storage import describe, folder_at, store_bytes, without_secrets
from airflow_provider_sora.operators import rollout_ledger
from airflow_provider_sora.operators.rollout_ledger import RolloutLedger
from airflow_provider_sora.rollouts.in_use import uses_of
from airflow_provider_sora.snapshots.lifecycle import remembered, untold, watch
from airflow_provider_sora.snapshots.lives import Answers, Memory, Server, Terms, Use, Watched
from airflow_provider_sora.snapshots.resolution import PINNED_ENVIRONMENTS, Reason, listed_as
from airflow_provider_sora.videos.arguments import is_text, shown

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from airflow_provider_sora.rollouts.plan import Rollout

log = logging.getLogger(__name__)

OUTCOME: Final = "The snapshots were not looked at"

#: What a message of a source that cannot be read begins with: all others are looked at.
_UNREAD: Final = "Not all that is in use is known"

#: What a report is no reason to lose anything for.
_NOT_STORED: Final = "The report is in the task's output. See that the place can be written, and run the task again."


class Notes:
    """What a watch remembers of a connection from run to run: in the state store of the connection's asset.

    :param asset: name of the asset.
    :param watcher: names the task, in each run the same.
    :param run_id: of this run: one that is cleared or retried tells the same changes again.
    """

    def __init__(self, asset: str, *, watcher: str, run_id: str) -> None:
        self._asset = asset
        self._key = watcher
        self._run_id = run_id
        self.memory: Memory | None = None
        """What was seen when a run of this task told of it last; None for the first time."""

    def read(self) -> None:
        """Recall it.

        :raises LedgerUnavailableError: Airflow does not tell.
        """
        try:
            kept: Any = rollout_ledger.state_store(self._asset).get(self._key)
        except Exception as error:
            raise LedgerUnavailableError(
                f"What was seen last of {self._asset} could not be read ({type(error).__name__}: {error}), so that "
                "nothing tells what changed. A retry looks again. Airflow knows the asset once the DAG file names the "
                "connection in sora_conn_ids."
            ) from error
        noted = kept if isinstance(kept, Mapping) else {}
        seen, before = Memory.from_dict(noted.get("seen")), Memory.from_dict(noted.get("before"))
        is_same_run = noted.get("run_id") == self._run_id
        if before is not None and seen is not None and (is_same_run or not noted.get("told", True)):
            self.memory = untold(before, seen)
        else:
            self.memory = before if is_same_run else seen

    def write(self, seen: Memory | None, *, is_told: bool) -> None:
        """Note what was seen now.

        :param seen: to be recalled by the next run.
        :param is_told: whether the consumers of the asset hear what changed; else a later run tells them.
        :raises LedgerUnavailableError: it could not be written.
        """
        before = None if self.memory is None else self.memory.to_dict()
        noted: dict[str, Any] = {
            "run_id": self._run_id,
            "before": before,
            "seen": None if seen is None else seen.to_dict(),
            "told": is_told,
        }
        try:
            rollout_ledger.state_store(self._asset).set(self._key, noted)
        except Exception as error:
            raise LedgerUnavailableError(
                f"What was seen of {self._asset} could not be noted ({type(error).__name__}: {error}), so that the "
                "next run could not tell what changed. A retry tries again."
            ) from error


class Survey:
    """A look at all that a watch is to look at. What cannot be looked at is a fault, and keeps nothing else from it.

    :param now: the time.
    :param terms: how soon is soon.
    """

    def __init__(self, *, now: datetime, terms: Terms) -> None:
        self._now = now
        self._terms = terms
        self._uses: list[Use] = []
        self._noted: list[tuple[Notes, Memory | None]] = []
        self.watched: list[Watched] = []
        """What was found of each connection that could be used."""
        self.faults: list[SoraError] = []
        """Why it is not complete."""

    @property
    def failures(self) -> list[str]:
        """What cannot wait, a sentence each."""
        return [failure for each in self.watched for failure in each.failures]

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Note an error of this package as a fault, and go on after the block."""
        try:
            yield
        except SoraError as error:
            self._fault(error)

    def find_uses(self, *, rollouts: Sequence[Rollout], manifests: object, snapshots: Sequence[str], task: str) -> None:
        """Find what needs snapshots beside the connections.

        :param rollouts: their ledgers are read.
        :param manifests: where videos are on record: outputs of tasks, paths of result manifests, sidecars and folders.
        :param snapshots: ids.
        :param task: names the task that lists them.
        """
        self._uses += [Use(snapshot=snapshot, by=f"the list of {task}") for snapshot in snapshots]
        for plan in rollouts:
            with self.going_on():
                self._uses += uses_of(plan, RolloutLedger(plan).load().state)
        are_several = isinstance(manifests, Iterable) and not isinstance(manifests, str | bytes | Mapping)
        sources: Any = manifests if are_several else [manifests] if manifests is not None else ()
        for source in sources:
            with self.going_on():
                self._find_uses_of_records(source)

    def look(self, sora_conn_id: str, *, notes: Notes | None) -> None:
        """Look at one connection.

        :param sora_conn_id: its id.
        :param notes: of this connection; None where nobody remembers.
        """
        if notes is not None:
            try:
                notes.read()
            except LedgerUnavailableError as error:
                # What is due does not hang on it; and what is noted there must not be replaced.
                self._fault(error)
                notes = None
        memory = None if notes is None else notes.memory
        with self.going_on():
            server = _server(SoraHook(sora_conn_id), self._uses, on_fault=self._fault)
            watched = watch(server, self._uses, memory=memory, now=self._now, terms=self._terms)
            self.watched.append(watched)
            if notes is not None:
                self._noted.append((notes, remembered(watched, memory)))

    def note(self) -> None:
        """Note what was seen, once it is known whether the task succeeds: only then its events reach anybody."""
        is_told = not self.failures and not self.faults
        for notes, seen in self._noted:
            with self.going_on():
                notes.write(seen, is_told=is_told)
        if is_told and self.faults:
            # One could not be noted: the task fails after all.
            for notes, seen in self._noted:
                with suppress(LedgerUnavailableError):
                    notes.write(seen, is_told=False)

    def _fault(self, error: SoraError) -> None:
        self.faults.append(error)
        log.warning("%s", error)

    def _find_uses_of_records(self, source: object) -> None:
        """The snapshots that rendered what is on record somewhere."""
        where, records = self._records_of(source)
        counted: Counter[tuple[str, bool]] = Counter()
        with self.going_on():
            # Not at once: what stands before a broken line counts.
            for file, record in records:
                with self.going_on():
                    if _is_kept(record):
                        counted[_version_of(record, file)] += 1
        for (snapshot, is_pinned), clips in counted.items():
            number = "a video" if clips == 1 else f"{clips:,} videos"
            named = "" if is_pinned else ", by an alias or as a candidate"
            self._uses.append(Use(snapshot=snapshot, by=f"{number} of {where}{named}", is_pinned=is_pinned))

    def _records_of(self, source: object) -> tuple[str, Iterable[tuple[str, Mapping[str, Any]]]]:
        """How a source is called, and what is on record there, each with its file.

        :raises ConfigurationError: it is none.
        """
        if isinstance(source, Mapping):
            listed = source.get("manifest")
            if not listed:
                named = f"video {source.get('video_id')}"
                return named, [(named, source)]
            return str(listed), records_at(str(listed), outcome=_UNREAD, on_fault=self._fault)
        if isinstance(source, str) and source.strip() and not source.lstrip().startswith(("{", "[")):
            return without_secrets(source.strip()), records_at(source, outcome=_UNREAD, on_fault=self._fault)
        raise ConfigurationError(
            f"{_UNREAD}: manifests takes outputs of tasks that made a video or a batch, and paths of result manifests, "
            f"sidecars and folders, not {shown(source)}. Pass a task's output itself, and not a template of it, which "
            "makes a text."
        )


def store_report(folder: str, name: str, text: str) -> ObjectStoragePath:
    """Put a report into a folder, whole or not at all.

    :param folder: a local path or an object storage URL.
    :param name: of the file.
    :param text: what is in it.
    :raises DownloadError: it could not be stored.
    """
    try:
        target = folder_at(folder) / name
    except Exception as error:
        # Airflow raises whatever it likes for an address that it does not know.
        raise NotStoredError(
            f"{name} could not be stored in {without_secrets(folder)}: {describe(error)}. {_NOT_STORED}"
        ) from error
    store_bytes(target, text.encode(), media_type="application/json", consequence=_NOT_STORED)
    return target


def _server(hook: SoraHook, uses: Iterable[Use], *, on_fault: Callable[[SoraError], None]) -> Server:
    """A server as it is seen at this moment.

    :param hook: its connection.
    :param uses: what needs snapshots beside it.
    :param on_fault: is told what it did not tell, with an error of the kind that kept it from that.
    """
    settings = hook.settings
    server = Server(
        conn_id=hook.sora_conn_id,
        host=settings.server.host,
        address=urlsplit(settings.server.base_url).netloc.lower(),
        environment=hook.environment,
        catalog=hook.catalog,
        own_versions=tuple(settings.versions),
        own_environments=tuple(settings.environments),
    )
    try:
        models = hook.list_models()
    except (APIError, ConfigurationError) as error:
        fault = f"{server.named}: {error}"
        on_fault(type(error)(fault))
        return replace(server, fault=fault)
    if models is None:
        return replace(server, lists_models=False)
    listed = {str(each["id"]): each for each in models if each.get("id")}
    answers: dict[str, Answers] = {}
    for snapshot in dict.fromkeys(use.snapshot for use in (*server.uses(), *uses)):
        try:
            # Some answer for models that they do not list.
            is_served = bool(listed_as(listed, snapshot)) or hook.has_model(snapshot)
            answers[snapshot] = Answers.YES if is_served else Answers.NO
        except (APIError, ConfigurationError) as error:
            answers[snapshot] = Answers.UNKNOWN
            on_fault(type(error)(_untold(server, snapshot, error)))
    return replace(
        server,
        lists_models=True,
        shutdown=dates_of(models),
        aliases={name: str(each["alias_of"]) for name, each in listed.items() if each.get("alias_of")},
        answers=answers,
    )


def _untold(server: Server, snapshot: str, error: SoraError) -> str:
    return (
        f"Whether {server.named} serves {snapshot} is not known: it is not in the list of models, and asked for by its "
        f"id: {error} All else of this server was looked at. If it answers so for each model that it does not have, "
        f"it does not have {snapshot} either."
    )


def _is_kept(record: Mapping[str, Any]) -> bool:
    """Whether there is a video that anybody would want again: what failed or was set aside needs no snapshot."""
    is_made = bool(record.get("artifact")) or record.get("status") == "completed"
    return is_made and not record.get("quarantine")


def _version_of(record: Mapping[str, Any], file: str) -> tuple[str, bool]:
    """Which snapshot a clip was for, and whether it was for that very one.

    :param record: of the clip.
    :param file: where it is, for messages.
    :raises ConfigurationError: it names no snapshot.
    """
    version = record.get("version")
    told: Mapping[str, Any] = version if isinstance(version, Mapping) else {}
    snapshot, reason = told.get("snapshot"), told.get("reason")
    if not isinstance(snapshot, str) or not snapshot.strip() or not is_text(snapshot):
        entry = f" with the key {shown(record['key'])}" if "key" in record else ""
        found = f"version.snapshot is {shown(snapshot)}" if told else f"version is {shown(version)}"
        raise ConfigurationError(
            f"{_UNREAD}: the record{entry} in {without_secrets(file)} does not name the snapshot that rendered it: its "
            f"{found}. Correct it, or leave it out of manifests. All others were counted."
        )
    if reason in (Reason.ENVIRONMENT, Reason.DEFAULT):
        return snapshot, str(told.get("environment")) in PINNED_ENVIRONMENTS
    return snapshot, reason != Reason.ALIAS and told.get("variant") != "candidate"
