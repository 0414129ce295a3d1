"""What the jobs of a rollout showed: from the entries of manifests and tasks to the counts that are judged. Pure.

Analysis is by assigned arm, whatever served a job in the end, and over closed cohorts only: failures end first, so that
a night that is still open looks worse than it is.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, get_args

from airflow_provider_sora import exceptions
from airflow_provider_sora.batches.summary import ItemOutcome
from airflow_provider_sora.exceptions import ConfigurationError, SoraError
from airflow_provider_sora.rollouts.counts import Counts
from airflow_provider_sora.rollouts.exposure import Variant
from airflow_provider_sora.rollouts.ledger import Entry, State
from airflow_provider_sora.videos.arguments import shown
from airflow_provider_sora.videos.job import JobError, JobStatus
from airflow_provider_sora.videos.result import is_same_model

#: Order statistics of an arm's seconds that are kept of a stratum, and their digits: an event is no place for more.
MOST_SECONDS: Final = 500
_DIGITS: Final = 3

_MOST_NAMED = 5

#: How an entry says, in the clause about its job, that it may be running.
_MAY_BE_RUNNING: Final = ("may still be running", "may have taken it")

#: What ends a job for its task although it may be running: nothing will ask for it any more.
_GIVEN_UP: Final = frozenset({"job_timeout", "unreachable", "lost", "UncertainSubmissionError"})

#: Beginnings of the codes with which servers and this provider say that the request is at fault.
_REQUESTS_FAULT: Final = ("invalid", "missing", "unsupported", "bad_request", "unprocessable", "mismatch")

#: Of the 4xx, those that do not say so: a request that came too early, too late, or after too many others.
_SERVERS_4XX: Final = frozenset({408, 409, 425, 429})

#: The errors of this package that tell of a server in trouble; the others are the request's, or our own house's.
_INFRASTRUCTURE: Final = (
    exceptions.MalformedResponseError,
    exceptions.RateLimitedError,
    exceptions.ResponseLostError,
    exceptions.ServerError,
    exceptions.ServerUnreachableError,
    exceptions.UncertainSubmissionError,
    exceptions.VideoExpiredError,
    exceptions.VideoFailedError,
    exceptions.VideoLostError,
    exceptions.VideoStoppedError,
    exceptions.VideoTimeoutError,
    exceptions.VideoUnreachableError,
)


class Outcome(StrEnum):
    """What became of a job that a rollout assigned."""

    SUCCEEDED = "succeeded"
    """It brought a video."""
    FAILED = "failed"
    """It ended without one, or its time was over."""
    MODERATED = "moderated"
    """A content policy stopped it, which says nothing about the snapshot's health."""
    OPEN = "open"
    """It may be running."""
    NOT_BEGUN = "not_begun"
    """It was never sent, or was called back before it ended: assigned, and not judged."""


class OpenCohortError(SoraError):
    """A night that is not over cannot be judged. Its jobs are judged once they have ended."""

    retryable = True


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one clip says about its arm.

    :param key: names the clip for people.
    :param variant: the arm that it was assigned to.
    :param weight_bp: the candidate's share in basis points that was in force then.
    :param unit: what it was assigned by.
    :param outcome: what became of it.
    :param first_attempt_failed: whether its first submission failed.
    :param seconds: from submission to ready, above zero; None where it did not succeed, or its clocks do not tell.
    :param is_infrastructure: whether it failed by the server's fault, and neither the content policy's nor its own.
    :param served_otherwise: whether the server says that another model rendered it than the one that was asked for.
    :param rollout_id: of the rollout that assigned it; None where there was none yet.
    :param step: that was in force; None likewise.
    """

    key: str
    variant: Variant
    weight_bp: int
    unit: str
    outcome: Outcome
    first_attempt_failed: bool
    seconds: float | None
    is_infrastructure: bool
    served_otherwise: bool
    rollout_id: str | None
    step: int | None


def job_of(entry: Mapping[str, Any]) -> Job | None:
    """Read one clip.

    :param entry: of a result manifest, or what a task that makes a video returned.
    :return: None where no rollout assigned it.
    :raises ConfigurationError: it names a rollout and cannot be read.
    """
    version: Mapping[str, Any] = entry.get("version") or {}
    assigned = version.get("rollout")
    if not assigned:
        return None
    key = str(entry.get("key") or entry.get("video_id") or assigned.get("unit"))
    try:
        if version["variant"] not in get_args(Variant):
            raise ValueError(f"its variant is {shown(version['variant'])}")
        error: Mapping[str, Any] | None = entry["error"]
        outcome = _outcome(entry, error)
        served = version.get("served_model")
        seconds = entry["timing"]["seconds"]
        return Job(
            key=key,
            variant=version["variant"],
            weight_bp=int(assigned["weight"]),
            unit=str(assigned["unit"]),
            outcome=outcome,
            first_attempt_failed=bool(entry["attempts"]["first_attempt_failed"]),
            seconds=float(seconds) if outcome is Outcome.SUCCEEDED and seconds else None,
            is_infrastructure=outcome is Outcome.FAILED and is_infrastructure((error or {}).get("code")),
            served_otherwise=served is not None and not is_same_model(served, version["snapshot"]),
            rollout_id=assigned["rollout_id"],
            step=assigned["step"],
        )
    except (KeyError, TypeError, ValueError) as fault:
        reason = f"it has no {fault}" if isinstance(fault, KeyError) else str(fault)
        raise ConfigurationError(
            f"The clip {key!r} was assigned by a rollout, and its entry cannot be read: {reason}. Nothing was judged. "
            "See that the manifest is as its task wrote it."
        ) from fault


def is_infrastructure(code: str | None) -> bool:
    """Whether a failure that no content policy caused is the server's fault, by the code of its error.

    The codes are the servers' own words, the names of this package's errors, and its words for how waiting ended. A
    word that says nothing of the request is the server's: there is no list of all words for its trouble.

    :param code: of an entry's error; None where the server gave no reason.
    """
    if code is None:
        return True
    kind = vars(exceptions).get(code)
    if isinstance(kind, type):
        return issubclass(kind, _INFRASTRUCTURE)
    if code.isdecimal():
        return not 400 <= int(code) < 500 or int(code) in _SERVERS_4XX
    return not code.lower().startswith(_REQUESTS_FAULT)


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """The jobs of one cohort that were assigned at one weight. Each pair is of the baseline and the candidate.

    :param weight_bp: the candidate's share in basis points, 1 to 10,000.
    :param first_attempts: judged jobs, and those of which the first attempt failed.
    :param finals: judged jobs, and those that failed in the end.
    :param rescued: jobs whose first attempt failed and that succeeded.
    :param moderated: jobs that a content policy stopped.
    :param not_begun: jobs that were assigned, and not sent or called back.
    :param infrastructure_failed: jobs that failed in the end by the server's fault.
    :param served_otherwise: jobs that another model rendered than the one that was asked for, as the server says.
    :param units: different units of the candidate, and of both arms.
    """

    weight_bp: int
    first_attempts: Counts
    finals: Counts
    rescued: tuple[int, int] = (0, 0)
    moderated: tuple[int, int] = (0, 0)
    not_begun: tuple[int, int] = (0, 0)
    infrastructure_failed: tuple[int, int] = (0, 0)
    served_otherwise: tuple[int, int] = (0, 0)
    units: tuple[int, int]

    def to_dict(self) -> dict[str, Any]:
        """This stratum for JSON."""
        return {
            "weight_bp": self.weight_bp,
            "first_attempts": self.first_attempts.to_dict(),
            "finals": self.finals.to_dict(),
            **{name: list(getattr(self, name)) for name in _PAIRS},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Stratum:
        """The inverse of :meth:`to_dict`.

        :param data: what it gave.
        """
        return cls(
            weight_bp=data["weight_bp"],
            first_attempts=Counts.from_dict(data["first_attempts"]),
            finals=Counts.from_dict(data["finals"]),
            **{name: (data[name][0], data[name][1]) for name in _PAIRS if name in data or name not in _LATER},
        )


_PAIRS: Final = ("rescued", "moderated", "not_begun", "infrastructure_failed", "served_otherwise", "units")

#: Those that an older entry of a ledger may lack.
_LATER: Final = frozenset({"served_otherwise"})


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """Jobs that were closed together: a night.

    :param key: names its sources; the same sources have the same key.
    :param sources: manifests and tasks that its jobs are from, one for each batch.
    :param closed_at: when, ISO 8601 UTC.
    :param step: that was in force then.
    :param strata: by weight.
    """

    key: str
    sources: tuple[str, ...]
    closed_at: str
    step: int
    strata: tuple[Stratum, ...]

    def to_dict(self) -> dict[str, Any]:
        """This cohort for JSON: an element of a state's ``cohorts``."""
        return {
            "key": self.key,
            "sources": list(self.sources),
            "closed_at": self.closed_at,
            "step": self.step,
            "strata": [stratum.to_dict() for stratum in self.strata],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Cohort:
        """The inverse of :meth:`to_dict`.

        :param data: what it gave.
        :raises ConfigurationError: it is no cohort.
        """
        try:
            strata = [Stratum.from_dict(stratum) for stratum in data["strata"]]
            return cls(
                key=data["key"],
                sources=tuple(data["sources"]),
                closed_at=data["closed_at"],
                step=data["step"],
                # One order, so that the last digit of a p-value does not hang on another.
                strata=tuple(sorted(strata, key=lambda stratum: stratum.weight_bp)),
            )
        except (KeyError, TypeError, IndexError) as error:
            raise ConfigurationError(
                f"A cohort on record cannot be read ({type(error).__name__}: {error}): {shown(data)}."
            ) from error


def sources_of(state: State) -> frozenset[str]:
    """The sources that were counted already, and must not be counted twice.

    :param state: where the rollout stands.
    """
    return frozenset(source for cohort in state.cohorts for source in Cohort.from_dict(cohort).sources)


def seconds_of(entry: Entry) -> dict[str, Mapping[str, Any]]:
    """The seconds of the cohort that an analysis closed.

    :param entry: of the ledger.
    :return: what :func:`close` gave, by the cohort's key; empty where the entry closed none.
    """
    seconds = entry.evidence.get("seconds")
    if entry.state is None or not entry.state.cohorts or not seconds:
        return {}
    return {str(entry.state.cohorts[-1].get("key")): seconds}


def close(
    jobs: Iterable[Job], *, state: State, sources: Sequence[str], at: str
) -> tuple[Cohort | None, dict[str, dict[str, list[float]]]]:
    """Count the jobs that this rollout assigned.

    Jobs of an earlier rollout, and those that were assigned while none ran, are left aside: there was no choice then.

    :param jobs: of the sources.
    :param state: where the rollout stands.
    :param sources: where the jobs are from, one for each batch.
    :param at: the time, ISO 8601 UTC.
    :return: the cohort, None where no job is of this rollout; and the seconds to ready of both arms by weight, as
        ``{"1000": {"baseline": [...], "candidate": [...]}}``: sorted, to 3 digits, and at most 500 of an arm.
    :raises OpenCohortError: some of its jobs may be running.
    :raises ConfigurationError: a source was counted already.
    """
    if again := sorted(sources_of(state).intersection(sources)):
        raise ConfigurationError(
            f"{', '.join(again[:_MOST_NAMED])} of the rollout {state.rollout_id} was counted already, and is not "
            "counted twice. Nothing was judged."
        )
    ours = [job for job in jobs if job.rollout_id == state.rollout_id and job.weight_bp > 0]
    if still_open := sorted(job.key for job in ours if job.outcome is Outcome.OPEN):
        named = ", ".join(still_open[:_MOST_NAMED])
        raise OpenCohortError(
            f"{len(still_open)} of {len(ours)} jobs of the rollout {state.rollout_id} may be running: {named}"
            f"{' and others' if len(still_open) > _MOST_NAMED else ''}. Nothing was judged: failures end first, and a "
            "night that is not over looks worse than it is. Clear the task that left them, which goes on with them; "
            "then analyze again. Of a task that does not wait (wait_for_completion=False), give the analysis the "
            "output of the SoraDownloadVideoOperator behind it instead, or leave it out: its own stays open for ever."
        )
    if not ours:
        return None, {}
    by_weight: defaultdict[int, list[Job]] = defaultdict(list)
    for job in ours:
        by_weight[job.weight_bp].append(job)
    cohort = Cohort(
        key=hashlib.sha256("\n".join(sorted(sources)).encode()).hexdigest()[:16],
        sources=tuple(sources),
        closed_at=at,
        step=state.step,
        strata=tuple(_stratum(weight_bp, by_weight[weight_bp]) for weight_bp in sorted(by_weight)),
    )
    seconds = {
        str(weight_bp): {
            variant: _thinned([job.seconds for job in by_weight[weight_bp] if job.variant == variant and job.seconds])
            for variant in get_args(Variant)
        }
        for weight_bp in sorted(by_weight)
    }
    return cohort, seconds


def _outcome(entry: Mapping[str, Any], error: Mapping[str, Any] | None) -> Outcome:
    told = entry.get("outcome")
    if told == ItemOutcome.INVALID:
        return Outcome.NOT_BEGUN
    if error is None:
        is_done = told == ItemOutcome.SUCCEEDED or entry["status"] == JobStatus.COMPLETED
        return Outcome.SUCCEEDED if is_done else Outcome.OPEN
    if told == ItemOutcome.LEFT:
        return _outcome_of_left(entry, error)
    if _is_moderation(error):
        return Outcome.MODERATED
    given_up = told == ItemOutcome.FAILED or error["code"] in _GIVEN_UP
    return Outcome.OPEN if not given_up and _may_be_running(error) else Outcome.FAILED


def _outcome_of_left(entry: Mapping[str, Any], error: Mapping[str, Any]) -> Outcome:
    """The batch ended before the clip did; its error tells why the batch ended."""
    if entry["status"] == JobStatus.COMPLETED:
        # Its file was not fetched any more, which says nothing against the snapshot that rendered it.
        return Outcome.SUCCEEDED
    if _may_be_running(error):
        return Outcome.OPEN
    return Outcome.FAILED if entry["attempts"]["first_attempt_failed"] else Outcome.NOT_BEGUN


def _may_be_running(error: Mapping[str, Any]) -> bool:
    return any(words in str(error["job"]) for words in _MAY_BE_RUNNING)


def _is_moderation(error: Mapping[str, Any]) -> bool:
    if error["code"] == exceptions.VideoModeratedError.__name__:
        return True
    return JobError(code=error["code"], message=str(error["message"])).is_moderation


def _stratum(weight_bp: int, jobs: Sequence[Job]) -> Stratum:
    arms = [[job for job in jobs if job.variant == variant] for variant in get_args(Variant)]
    judged = [[job for job in arm if job.outcome in (Outcome.SUCCEEDED, Outcome.FAILED)] for arm in arms]
    # By the quota of two batches, one unit may be of both arms: it was dealt out twice.
    baseline_units, candidate_units = (len({job.unit for job in arm}) for arm in arms)
    return Stratum(
        weight_bp=weight_bp,
        first_attempts=_counts([[job.first_attempt_failed for job in arm] for arm in judged]),
        finals=_counts([[job.outcome is Outcome.FAILED for job in arm] for arm in judged]),
        rescued=_pair([[job.first_attempt_failed and job.outcome is Outcome.SUCCEEDED for job in arm] for arm in arms]),
        moderated=_pair([[job.outcome is Outcome.MODERATED for job in arm] for arm in arms]),
        not_begun=_pair([[job.outcome is Outcome.NOT_BEGUN for job in arm] for arm in arms]),
        infrastructure_failed=_pair([[job.is_infrastructure for job in arm] for arm in judged]),
        served_otherwise=_pair([[job.served_otherwise for job in arm] for arm in arms]),
        units=(candidate_units, baseline_units + candidate_units),
    )


def _pair(arms: Sequence[Sequence[bool]]) -> tuple[int, int]:
    baseline, candidate = arms
    return sum(baseline), sum(candidate)


def _counts(failures: Sequence[Sequence[bool]]) -> Counts:
    baseline, candidate = failures
    return Counts(
        baseline_failed=sum(baseline),
        baseline_total=len(baseline),
        candidate_failed=sum(candidate),
        candidate_total=len(candidate),
    )


def _thinned(seconds: Sequence[float]) -> list[float]:
    ordered = sorted(float(f"{each:.{_DIGITS}g}") for each in seconds)
    if len(ordered) <= MOST_SECONDS:
        return ordered
    return [ordered[(2 * at + 1) * len(ordered) // (2 * MOST_SECONDS)] for at in range(MOST_SECONDS)]
