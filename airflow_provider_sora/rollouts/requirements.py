"""What must have passed for two snapshots before a rollout between them starts, and whether it has. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Self

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.rollouts.ledger import Entry, moment
from airflow_provider_sora.videos.arguments import shown

if TYPE_CHECKING:
    from airflow_provider_sora.rollouts.plan import Rollout

#: Under which key the entry of a start has what it rests on.
REQUIRED: Final = "required"

#: Under which key the entry of a transition has what spoke against it and was overridden.
OBJECTIONS: Final = "objections"

#: How far the clock may be ahead that dated the evidence.
CLOCK_SKEW: Final = timedelta(hours=1)

# An event of an asset has no bound of its own, and is read with each look at the rollout.
_MOST_RECORDED = 20
_LONGEST_SOURCE = 500
_LONGEST_HOST = 260
_LONGEST_WORD = 40
_MOST_LENIENT = 30

# What is told of people's words, which are on record in full where they were given.
_MOST_SAID = 3
_LONGEST_SAID = 160

#: The requirement that people answer; the others are measured.
_BY_PEOPLE: Final = "acceptance"

_MADE_BY: Final[Mapping[str, str]] = {
    "replay": "SoraCompareSnapshotsOperator",
    "benchmark": "SoraCompareSnapshotsOperator",
    "acceptance": "the `record` task of sora_acceptance",
}


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where a comparison rendered, or a rollout is to.

    :param host: name and port of the server.
    :param environment: of the connection or the worker.
    """

    host: str
    environment: str

    @classmethod
    def read(cls, told: object) -> Self | None:
        """What a document says of it; None where it says nothing that can be used.

        :param told: with ``host`` and ``environment``.
        """
        told = told if isinstance(told, Mapping) else {}
        host, environment = told.get("host"), told.get("environment")
        if not isinstance(host, str) or not host or not isinstance(environment, str) or not environment:
            return None
        return cls(host=host, environment=environment)

    def to_dict(self) -> dict[str, str]:
        """This server for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Objection:
    """Why a rollout should not start.

    :param fact: what is not as it has to be, as a clause. It is put on record where somebody overrides it.
    :param advice: what to do about it now, as a clause; empty where there is none.
    """

    fact: str
    advice: str = ""

    @property
    def told(self) -> str:
        """Both, for whoever has to do something."""
        return f"{self.fact}: {self.advice}" if self.advice else self.fact


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a comparison of two snapshots, or people who looked at it, came to.

    :param source: where it was read, for people, without secrets.
    :param baseline: id of the snapshot that was compared with.
    :param candidate: id of the other one.
    :param verdicts: by their names: ``pass``, ``fail`` or ``inconclusive``.
    :param made_at: when, ISO 8601 with its zone; None where it does not say so, as the next two.
    :param server: where the clips were rendered.
    :param compared: how many prompts have clips on both sides.
    :param lenient: names of the metrics that were allowed to lose more than by default.
    :param said: who did not accept and why, and whose word is missing: the first three of these, of at most 160
        characters each; empty where no people were asked.
    """

    source: str
    baseline: str
    candidate: str
    verdicts: Mapping[str, str]
    made_at: str | None
    server: Server | None
    compared: int | None
    lenient: tuple[str, ...]
    said: str

    @classmethod
    def read(cls, document: object, *, source: str) -> Self:
        """What the output or the file of a comparison or an acceptance says.

        :param document: with ``baseline``, ``candidate``, ``evidence`` and ``made_at``, and where it says so
            ``server``, ``compared``, ``lenient``, ``reviews`` and ``missing``; anything else in it is left.
        :param source: where it was read, without secrets.
        :raises ConfigurationError: it is no such thing.
        """
        told = document if isinstance(document, Mapping) else {}
        verdicts, snapshots = told.get("evidence"), (told.get("baseline"), told.get("candidate"))
        if not isinstance(verdicts, Mapping) or not all(isinstance(each, str) and each for each in snapshots):
            raise ConfigurationError(
                f"{source} is no evidence: it has no `baseline`, `candidate` and `evidence`, as what "
                "SoraCompareSnapshotsOperator and sora_acceptance return and write has"
            )
        made_at, compared, lenient = told.get("made_at"), told.get("compared"), told.get("lenient")
        return cls(
            source=source,
            baseline=str(told["baseline"]),
            candidate=str(told["candidate"]),
            verdicts={
                str(name): verdict if isinstance(verdict, str) else shown(verdict) for name, verdict in verdicts.items()
            },
            made_at=None if moment(made_at) is None else str(made_at),
            server=Server.read(told.get("server")),
            compared=compared if isinstance(compared, int) and not isinstance(compared, bool) else None,
            lenient=tuple(map(str, lenient)) if isinstance(lenient, list | tuple) else (),
            said=_said(told.get("reviews"), told.get("missing")),
        )

    def is_of(self, plan: Rollout) -> bool:
        """Whether it is on the two snapshots of a plan.

        :param plan: of the rollout.
        """
        return (self.baseline, self.candidate) == (plan.baseline, plan.candidate)


def objections_of(
    plan: Rollout, evidence: Sequence[Evidence], *, server: Server, now: datetime, max_age: timedelta | None
) -> list[Objection]:
    """Why a rollout should not start, by what its plan requires.

    All evidence counts that is on the plan's snapshots: of two comparisons that passed and failed, the one that failed
    is not outweighed.

    :param plan: of the rollout.
    :param evidence: all that was given.
    :param server: where the rollout is to render.
    :param now: the time.
    :param max_age: how old it may be; None for any age.
    :return: none where all that is required has passed.
    """
    return [
        objection
        for name in plan.requires
        for objection in _objections(plan, name, evidence, server=server, now=now, max_age=max_age)
    ]


def not_passed(plan: Rollout, evidence: Sequence[Evidence]) -> list[Objection]:
    """What is required and did not pass, whatever else is wrong with the evidence: what matters also once a rollout
    was started.

    :param plan: of the rollout.
    :param evidence: all that was given; what is missing in it is no matter.
    """
    return [
        objection
        for name in plan.requires
        for each in evidence
        if each.is_of(plan) and (objection := _not_passed(name, each)) is not None
    ]


def recorded(plan: Rollout, evidence: Iterable[Evidence]) -> list[dict[str, Any]]:
    """What a start rests on, for the record: at most 20 entries, each with a source of at most 500 characters and up to
    30 names.

    :param plan: of the rollout.
    :param evidence: all that was given.
    :return: ``name``, ``verdict``, ``made_at``, ``source``, ``host``, ``environment``, ``compared`` and ``lenient`` of
        each verdict that the plan requires.
    """
    return [
        {
            "name": name,
            "verdict": each.verdicts[name][:_LONGEST_WORD],
            "made_at": each.made_at,
            "source": each.source[:_LONGEST_SOURCE],
            "host": None if each.server is None else each.server.host[:_LONGEST_HOST],
            "environment": None if each.server is None else each.server.environment[:_LONGEST_WORD],
            "compared": each.compared,
            "lenient": [metric[:_LONGEST_WORD] for metric in each.lenient[:_MOST_LENIENT]],
        }
        for name in plan.requires
        for each in evidence
        if each.is_of(plan) and name in each.verdicts
    ][:_MOST_RECORDED]


def told_of(required: Mapping[str, Any]) -> str:
    """A verdict that a start rests on, in a line.

    :param required: of :func:`recorded`, or anything that is on record in its place.
    """
    when = required.get("made_at") or "at no known time"
    return ", ".join(
        (f"{required.get('name')}: {required.get('verdict')}", when, str(required.get("source")), *scope_of(required))
    )


def scope_of(required: Mapping[str, Any]) -> Iterator[str]:
    """Where a verdict was found out, of how much, and what was let pass more than by default: what is on record of it.

    :param required: as for :func:`told_of`.
    """
    if host := required.get("host"):
        yield f"on {host} ({required.get('environment')})"
    if (compared := required.get("compared")) is not None:
        yield f"{compared} {'prompt' if compared == 1 else 'prompts'} compared"
    if lenient := required.get("lenient"):
        metrics = ", ".join(map(str, lenient)) if isinstance(lenient, list) else lenient
        yield f"more lenient than by default: {metrics}"


def required_by(entry: Entry) -> list[Mapping[str, Any]]:
    """What a start rests on, as its entry has it.

    :param entry: of any transition; what was written by hand may have anything there.
    """
    found = entry.evidence.get(REQUIRED)
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def overridden_by(entry: Entry) -> list[str]:
    """What spoke against a transition that somebody made all the same.

    :param entry: of any transition; what was written by hand may have anything there.
    """
    found = entry.evidence.get(OBJECTIONS)
    return [str(each) for each in found] if isinstance(found, list) else []


def _objections(
    plan: Rollout,
    name: str,
    evidence: Sequence[Evidence],
    *,
    server: Server,
    now: datetime,
    max_age: timedelta | None,
) -> Iterator[Objection]:
    about = [each for each in evidence if name in each.verdicts]
    ours = [each for each in about if each.is_of(plan)]
    if not about:
        yield Objection(
            fact=f"The plan requires `{name}`, and no evidence has it",
            advice=f"give the start what {_MADE_BY[name]} made for {plan.baseline} and {plan.candidate}, as "
            "evidence=[…]",
        )
    elif not ours:
        others = ", ".join(f"{each.baseline} to {each.candidate} in {each.source}" for each in about[:3])
        yield Objection(
            fact=f"The plan requires `{name}` for {plan.baseline} to {plan.candidate}, and the evidence is on other "
            f"snapshots ({others})",
            advice="compare these two",
        )
    for each in ours:
        if (objection := _not_passed(name, each)) is not None:
            yield objection
            continue
        for wrong in (_place(each, server), _age(each, now=now, max_age=max_age)):
            if wrong is not None:
                why, advice = wrong
                yield Objection(fact=f"The plan requires `{name}`, and {each.source} {why}", advice=advice)


def _not_passed(name: str, evidence: Evidence) -> Objection | None:
    verdict = evidence.verdicts.get(name, "pass")
    if verdict == "pass":
        return None
    said = f" ({evidence.said})" if name == _BY_PEOPLE and evidence.said else ""
    return Objection(
        fact=f"The plan requires `{name}`, and {evidence.source} says {verdict}{said}", advice=_do(name, verdict)
    )


def _do(name: str, verdict: str) -> str:
    if name == _BY_PEOPLE:
        whose = "the reviews without an answer that counts" if verdict == "inconclusive" else "their reviews"
        return f"clear {whose}, and what comes after these, to ask again, or leave the rollout"
    if verdict == "inconclusive":
        return "its message says what is missing; make it again with that, or leave the rollout"
    return (
        "read it, and compare again once its reason is mended; what was mended since is to be left out of evidence=[…]"
    )


def _said(reviews: object, missing: object) -> str:
    # A file that somebody wrote may have anything there.
    answers = [each for each in reviews if isinstance(each, Mapping)] if isinstance(reviews, list) else []
    said = [
        f"rejected by {each.get('by') or 'somebody'}: {each.get('reason') or 'no reason was given'}"
        for each in answers
        if each.get("decision") == "reject"
    ]
    if isinstance(missing, Mapping):
        said += [f"{task_id}: {why}" for task_id, why in missing.items()]
    more = [f"and {len(said) - _MOST_SAID} more"] if len(said) > _MOST_SAID else []
    return "; ".join([*map(_in_short, said[:_MOST_SAID]), *more])


def _in_short(text: str) -> str:
    line = "".join(each if each.isprintable() else " " for each in " ".join(text.split()))
    return line if len(line) <= _LONGEST_SAID else f"{line[: _LONGEST_SAID - 1]}…"


def _place(evidence: Evidence, server: Server) -> tuple[str, str] | None:
    """Why evidence is not of the right server, as a predicate, and what to do; None where it is."""
    made_on = evidence.server
    if made_on is None:
        return (
            "does not say on which server and in which environment it was made",
            "run the comparison anew with this start's connection, and what comes after it, or force it with a reason",
        )
    differs = []
    if made_on.host != server.host:
        differs.append(f"on the server {shown(made_on.host)}, and the rollout starts on {server.host}")
    if made_on.environment != server.environment:
        environments = f"{shown(made_on.environment)}, and the rollout starts in {server.environment}"
        differs.append(f"in the environment {environments}")
    if not differs:
        return None
    return (
        f"was made {'; '.join(differs)}",
        "run the comparison with this start's connection, and what comes after it, or force it with a reason",
    )


def _age(evidence: Evidence, *, now: datetime, max_age: timedelta | None) -> tuple[str, str] | None:
    """Why evidence is not of the right time, as a predicate, and what to do; None where it is."""
    if max_age is None:
        return None
    made_at = moment(evidence.made_at)
    if made_at is None:
        return "does not say when it was made", "give evidence with `made_at`, or evidence_max_age=None for any age"
    if made_at > now + CLOCK_SKEW:
        return (
            f"was made at {evidence.made_at}, which is yet to come",
            "see to the clock of the worker that made it",
        )
    if now - made_at > max_age:
        return (
            f"was made at {evidence.made_at}, longer ago than evidence_max_age allows ({max_age})",
            "make it anew, or allow more",
        )
    return None
