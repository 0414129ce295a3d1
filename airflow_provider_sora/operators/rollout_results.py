"""What a night brought: the clips behind the outputs of batches and of single tasks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.media.artifact_search import place_of
from airflow_provider_sora.media.manifests import read_manifest
from airflow_provider_sora.media.storage import folder_at
from airflow_provider_sora.rollouts.evidence import Job, job_of
from airflow_provider_sora.videos.arguments import shown

#: The path of a result manifest, or the output of a task that makes one clip.
Result: TypeAlias = str | Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Night:
    """What is to be analysed.

    :param sources: manifests, and clips by themselves, each once: names that stay the same however they are written.
    :param jobs: those that a rollout assigned, each once.
    """

    sources: tuple[str, ...]
    jobs: tuple[Job, ...]


def listed(results: object) -> list[Result]:
    """What is to be read, one by one.

    :param results: the output of a batch, of a merge or of a task that makes one clip, the path of a result manifest,
        or a list of these, in which None is a task that left nothing.
    :raises ConfigurationError: one of them is none of these.
    """
    if results is None:
        return []
    if isinstance(results, str) and results:
        return [results]
    if isinstance(results, Mapping) and isinstance(manifest := results.get("manifest"), str):
        return [manifest]
    if isinstance(results, Mapping) and {"version", "request", "attempts"} <= results.keys():
        return [results]
    if isinstance(results, Sequence) and not isinstance(results, str):
        return [each for result in results for each in listed(result)]
    raise ConfigurationError(
        f"results are outputs of tasks that make videos, or paths of result manifests, not {shown(results)}. "
        "Nothing was analysed, and the rollout stays as it is."
    )


def read_night(results: Iterable[Result], *, known: Collection[str]) -> Night:
    """Read what tasks made.

    :param results: as :func:`listed` gave them.
    :param known: sources that were analysed before, and are left out.
    :raises ConfigurationError: a manifest is not there, or a clip that a rollout assigned cannot be read.
    :raises OutputPathUnavailableError: the store of a manifest does not answer; this may pass.
    """
    sources: list[str] = []
    jobs: dict[str, Job] = {}
    for result in results:
        if isinstance(result, str):
            source, clips = _place(result), _assigned(read_manifest(result))
        elif clip := next(_assigned([result]), None):
            (source, _), clips = clip, iter([clip])
        else:
            continue
        if source not in known and source not in sources:
            sources.append(source)
            for name, job in clips:
                # A clip may be in the manifest of its batch, in a joined one, and an output by itself.
                jobs.setdefault(name, job)
    return Night(sources=tuple(sources), jobs=tuple(jobs.values()))


def _assigned(entries: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Job]]:
    """The clips that a rollout assigned, by a name that tells each from all others, however often it is read."""
    for entry in entries:
        if (job := job_of(entry)) is not None:
            yield str(entry.get("video_id") or _name_without_id(entry, job)), job


def _name_without_id(entry: Mapping[str, Any], job: Job) -> str:
    # The request is the same each night. When its version was chosen tells the nights apart.
    request: Mapping[str, Any] = entry.get("request") or {}
    return f"{entry['version'].get('resolved_at')} {job.key} {request.get('digest')}"


def _place(manifest: str) -> str:
    try:
        return place_of(folder_at(manifest))
    except Exception:
        # Who reads it tells what is wrong.
        return manifest
