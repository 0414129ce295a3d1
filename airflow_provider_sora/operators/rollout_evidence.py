"""What a rollout's start is given as evidence, read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_sora.exceptions import ConfigurationError, SoraError
from airflow_provider_sora.media.storage import without_secrets
from airflow_provider_sora.media.text_files import InputFile
from airflow_provider_sora.rollouts.requirements import (
    Evidence,
    Objection,
    Server,
    not_passed,
    objections_of,
    recorded,
)
from airflow_provider_sora.videos.arguments import shown

if TYPE_CHECKING:
    from airflow_provider_sora.hooks.sora import SoraHook
    from airflow_provider_sora.rollouts.plan import Rollout

#: A comparison has each clip of each prompt in it; this is room for some thousand prompts.
MAX_FILE_BYTES = 64 * 1024 * 1024


def server_of(hook: SoraHook) -> Server:
    """The server of a connection, as evidence names it.

    :param hook: of the connection.
    :raises ConfigurationError: it does not exist, or is not usable.
    """
    parts = urlsplit(hook.settings.server.base_url)
    # With and without the scheme's own port it is the same server.
    port = parts.port or (443 if parts.scheme == "https" else 80)
    name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return Server(host=f"{name}:{port}", environment=hook.environment.name)


def required_of(
    plan: Rollout, given: object, *, hook: SoraHook, max_age: object
) -> tuple[list[dict[str, Any]], list[Objection]]:
    """What a start rests on by its plan's requirements, for the record, and what speaks against it.

    :param plan: that is to start.
    :param given: as for :func:`read_evidence`, which names the errors.
    :param hook: of the connection whose server renders.
    :param max_age: how old it may be, a timedelta; None for any age.
    :raises ConfigurationError: an argument is something else.
    """
    if max_age is not None and not isinstance(max_age, timedelta):
        raise ConfigurationError(
            f"evidence_max_age is a timedelta or None, not {shown(max_age)}. The rollout was not started."
        )
    evidence, problems = read_evidence(given)
    lacking = objections_of(plan, evidence, server=server_of(hook), now=datetime.now(UTC), max_age=max_age)
    return recorded(plan, evidence), [*(Objection(fact=each) for each in problems), *lacking]


def unmet_of(plan: Rollout, given: object) -> tuple[list[str], list[str]]:
    """What did not pass of that which a start is given for a rollout that was started before. It fails nothing.

    :param plan: of the rollout.
    :param given: as for :func:`read_evidence`.
    :return: the facts, as clauses, and what could not be read: why.
    """
    try:
        evidence, problems = read_evidence(given)
    except SoraError as error:
        return [], [str(error)]
    return [each.fact for each in not_passed(plan, evidence)], problems


def read_evidence(given: object) -> tuple[list[Evidence], list[str]]:
    """Read all that was given.

    :param given: outputs of comparisons and acceptances, paths of their JSON files, or a list of these, in which None
        is a task that left nothing.
    :return: what could be read, and what could not: why, as clauses.
    :raises ConfigurationError: something is neither.
    :raises OutputPathUnavailableError: the store of a file does not answer as it should; this may pass.
    """
    found, problems = list[Evidence](), list[str]()
    for each in _listed(given):
        try:
            found.append(_from_file(each) if isinstance(each, str) else Evidence.read(each, source=_source_of(each)))
        except ConfigurationError as error:
            if error.retryable:
                raise
            # With force=True a rollout starts also where a file is lost.
            problems.append(str(error))
    return found, problems


def _listed(given: object) -> Iterator[str | Mapping[str, Any]]:
    if given is None or given == "":
        return
    if isinstance(given, str | Mapping):
        yield given
    elif isinstance(given, Sequence):
        for each in given:
            yield from _listed(each)
    else:
        raise ConfigurationError(
            f"evidence is outputs of comparisons and acceptances, or paths of their JSON files, not {shown(given)}. "
            "The rollout was not started."
        )


def _from_file(path: str) -> Evidence:
    file = InputFile(
        path=path.strip(),
        subject="the file",
        example="comparison.json",
        outcome="Evidence was left aside",
        error=ConfigurationError,
    )
    try:
        document = json.loads(file.text(limit=MAX_FILE_BYTES))
    except (ValueError, RecursionError):
        # Not the parser's words: they may quote what nobody meant to be shown.
        raise file.refusal("is not JSON") from None
    return Evidence.read(document, source=file.shown)


def _source_of(output: Mapping[str, Any]) -> str:
    """The file that an output names as its own, or whose output it is."""
    # An acceptance also names the comparison that it is about.
    for name in ("acceptance", "comparison"):
        if isinstance(path := output.get(name), str) and path:
            return without_secrets(path)
    return "the output of a task"
