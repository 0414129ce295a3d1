"""A job and its state at any moment: a pure function of the job and the time."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from airflow_provider_sora.emulator.flaws import Flaws
from airflow_provider_sora.emulator.spec import VideoSpec
from airflow_provider_sora.snapshots.snapshot import Snapshot

DEFAULT_RENDER_SECONDS_PER_10S = 45.0
"""For a snapshot whose speed the catalogue does not know: that of sora-2-2025-10-06."""

QUEUED_SHARE = 0.05
"""Share of a job's time that it is ``queued``."""

MODERATED_SHARE = 0.1
"""Share of a job's time after which moderation stops it."""

Status = Literal["queued", "in_progress", "completed", "failed"]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a job fails.

    :param code: machine-readable reason, for example ``moderation_blocked``.
    :param message: text for people.
    """

    code: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job, decided in full when it is created.

    :param id: ``video_`` and 32 hex digits.
    :param created_at: Unix time in seconds.
    :param spec: what it renders.
    :param render_seconds: the time it takes to complete, in seconds.
    :param ends_after: seconds from creation until it is completed or failed; None: it never ends.
    :param failure: why it fails; None: it completes.
    :param expire_after: seconds from completion until its files are gone.
    :param remixed_from: id of the video it is a remix, an edit or an extension of. Default None.
    :param flaws: what is wrong with its files. Default nothing.
    """

    id: str
    created_at: float
    spec: VideoSpec
    render_seconds: float
    ends_after: float | None
    failure: Failure | None
    expire_after: float
    remixed_from: str | None = None
    flaws: Flaws = field(default_factory=Flaws)

    @property
    def file_stem(self) -> str:
        """What its files are called: jobs of the same name have the same files."""
        return self.spec.digest + self.flaws.tag

    def to_dict(self) -> dict[str, Any]:
        """A JSON form that :meth:`from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Job:
        """Read what :meth:`to_dict` wrote, now or before there were flaws."""
        failure = data["failure"]
        return cls(
            **{
                **data,
                "spec": VideoSpec.from_dict(data["spec"]),
                "failure": Failure(**failure) if failure else None,
                "flaws": Flaws(**data.get("flaws", {})),
            }
        )


@dataclass(frozen=True, kw_only=True)
class JobState:
    """What a job looks like at one moment.

    :param status: one of the four statuses of the protocol.
    :param progress: 0 to 100; it stays where it was when the job failed.
    :param completed_at: Unix time in seconds; None while it runs and when it failed.
    :param expires_at: Unix time in seconds from which the files are gone; None without files.
    :param expired: whether that time has come.
    """

    status: Status
    progress: int
    completed_at: float | None = None
    expires_at: float | None = None
    expired: bool = False

    @property
    def running(self) -> bool:
        """Whether the job is queued or in progress."""
        return self.status in ("queued", "in_progress")


def state_at(job: Job, now: float) -> JobState:
    """Say what a job looks like.

    :param job: the job.
    :param now: Unix time in seconds.
    :return: its state; the same arguments always give the same state.
    """
    elapsed = max(0.0, now - job.created_at)
    if job.ends_after is not None and elapsed >= job.ends_after:
        if job.failure:
            return JobState(status="failed", progress=_progress(job, job.ends_after))
        completed_at = job.created_at + job.ends_after
        expires_at = completed_at + job.expire_after
        return JobState(
            status="completed",
            progress=100,
            completed_at=completed_at,
            expires_at=expires_at,
            expired=now >= expires_at,
        )
    if elapsed < job.render_seconds * QUEUED_SHARE:
        return JobState(status="queued", progress=0)
    return JobState(status="in_progress", progress=_progress(job, elapsed))


def _progress(job: Job, elapsed: float) -> int:
    queued = job.render_seconds * QUEUED_SHARE
    rendering = job.render_seconds - queued
    share = (elapsed - queued) / rendering if rendering > 0 else 0.0
    return max(0, min(99, int(100 * share)))


def typical_seconds(snapshot: Snapshot, seconds: float, *, time_scale: float) -> float:
    """How long a job takes.

    :param snapshot: the snapshot; its typical speed comes from the catalogue.
    :param seconds: duration of the clip.
    :param time_scale: how many times faster than in reality.
    :return: seconds.
    """
    typical = snapshot.typical_render_seconds(seconds)
    if typical is None:
        typical = DEFAULT_RENDER_SECONDS_PER_10S * seconds / 10
    return typical / time_scale


def failure_rate(snapshot: Snapshot, override: float | None) -> float:
    """The share of jobs that fail.

    :param snapshot: its batch stability, from the catalogue, is the share that does not; unknown counts as 1.
    :param override: a share that comes before it.
    :return: 0 to 1.
    """
    if override is not None:
        return override
    return 1 - snapshot.stability if snapshot.stability is not None else 0.0


def draw(spec: VideoSpec, purpose: str) -> float:
    """A number from 0 up to 1 that depends on nothing but the spec, its seed included.

    :param spec: what is rendered.
    :param purpose: keeps draws for different purposes independent.
    """
    digest = hashlib.sha256(f"{purpose}:{spec.digest}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def decide_failure(spec: VideoSpec, *, rate: float, moderated_word: str | None) -> tuple[Failure | None, float]:
    """Decide whether and when a job fails.

    The same spec always meets the same fate, so a run with given seeds can be repeated.

    :param spec: what is rendered, with its seed.
    :param rate: share of jobs that fail, 0 to 1.
    :param moderated_word: the word of a prompt that moderation objects to, if any.
    :return: the failure or None, and the share of the job's time after which it ends.
    """
    if moderated_word is not None:
        failure = Failure(
            code="moderation_blocked",
            message="The moderation system stopped this prompt, as it will again: change the prompt.",
        )
        return failure, MODERATED_SHARE
    if draw(spec, "failure") < rate:
        failure = Failure(
            code="video_generation_failed",
            message="The video could not be generated. With another seed the same request can succeed.",
        )
        return failure, 0.2 + 0.7 * draw(spec, "failure time")
    return None, 1.0


def poll_after_ms(job: Job, now: float) -> int:
    """When asking again makes sense, for the ``openai-poll-after-ms`` header.

    :param job: the job.
    :param now: Unix time in seconds.
    :return: milliseconds, 50 to 5000: a tenth of the job's time but not beyond its end; 5000 for a job that
        never ends.
    """
    if job.ends_after is None:
        return 5000
    remaining = job.created_at + job.ends_after - now
    wait = min(job.render_seconds / 10, remaining) if remaining > 0 else 0.0
    return max(50, min(5000, math.ceil(wait * 1000)))


def to_video(job: Job, now: float) -> dict[str, Any]:
    """The job as the protocol's ``video`` object.

    :param job: the job.
    :param now: Unix time in seconds.
    :return: JSON; times are whole Unix seconds, ``seconds`` is text as in OpenAI's API.
    """
    spec, state = job.spec, state_at(job, now)
    return {
        "id": job.id,
        "object": "video",
        "model": spec.snapshot,
        "status": state.status,
        "progress": state.progress,
        "created_at": int(job.created_at),
        "completed_at": int(state.completed_at) if state.completed_at is not None else None,
        "expires_at": math.ceil(state.expires_at) if state.expires_at is not None else None,
        "prompt": spec.prompt,
        "seconds": str(spec.seconds),
        "size": spec.size,
        "seed": spec.seed,
        "style": spec.style,
        "style_tuning": dict(spec.style_tuning) or None,
        "storyboard": {"scenes": [asdict(scene) for scene in spec.storyboard]} if spec.storyboard else None,
        "cameos": list(spec.cameos),
        "characters": [{"id": character} for character in spec.characters],
        "remixed_from_video_id": job.remixed_from,
        "error": asdict(job.failure) if job.failure and state.status == "failed" else None,
    }
