"""What a rollout is to do: from which snapshot to which, by which steps, under which policy. Pure, and fixed for good.

A plan knows neither the time nor what happened so far: that is the ledger's.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.rollouts.assignment import WHOLE_BP
from airflow_provider_sora.videos.arguments import is_text, shown

if TYPE_CHECKING:
    from airflow.sdk import Asset

Mode = Literal["hash", "quota"]
InFlight = Literal["drain", "cancel", "rerender"]
Requirement = Literal["replay", "benchmark", "acceptance"]

#: What the assets of rollouts are known by in Airflow: their group, and what their URIs begin with.
ASSET_GROUP: Final = "sora-rollout"
ASSET_SCHEME: Final = "x-sora-rollout://"

#: The version of what :meth:`Rollout.to_dict` writes, and that of a plan with ``requires``: a release that does not
#: know these is to say that it is too old, and not that a key is wrong.
PLAN_VERSION: Final = 1
REQUIRING_PLAN_VERSION: Final = 2

#: Candidate jobs below which a step proves too little: 0 failures of 30 still allow a rate of 9.5 % (exact, 95 %).
DEFAULT_MIN_CANDIDATES: Final = 30

#: Bounds of what can be asked for.
MOST_STEPS: Final = 20
MOST_MIN_CANDIDATES: Final = 1_000_000
LONGEST_TIME: Final = timedelta(days=365)
LONGEST_NAME: Final = 100
LONGEST_TEXT: Final = 1000

# ASCII, because Airflow takes no other name of an asset on MySQL; no "-" in front, which a command line takes for an
# option. Airflow refuses an asset of the two names below.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_FORBIDDEN_NAMES = ("self", "context")

_LARGEST_NUMBER = 1e15

_WEIGHT = re.compile(r"(\d{1,3}(?:\.\d{1,9})?) ?%", re.ASCII)
_PERCENTAGE = re.compile(r"\d[\d.]*\s*%")


@dataclass(frozen=True)
class Step:
    """A share of the units for the candidate, and what must have been seen before the rollout goes on from there.

    :param weight: the candidate's share, a text with its unit: ``"10%"``, ``"12.5%"``; above 0 to 100 %, in whole basis
        points (0.01 %). A bare number is refused: 1 is the hundredth part for one reader and the whole for the next.
    :param bake: least time at this step, up to 365 days. It has to be a timedelta: 24 might be hours or seconds.
    :param min_candidates: least number of the candidate's jobs, 0 to 1,000,000.
    :param approval: whether a person has to agree too.
    :raises ConfigurationError: with all that is wrong with them.
    """

    weight: str
    _: KW_ONLY
    bake: timedelta = timedelta(0)
    min_candidates: int = DEFAULT_MIN_CANDIDATES
    approval: bool = False
    weight_bp: int = field(init=False, repr=False)
    """The candidate's share in basis points, 1 to 10,000."""

    def __post_init__(self) -> None:
        problems: list[str] = []
        weight_bp = _basis_points(self.weight)
        if weight_bp is None:
            problems.append(
                'weight is a text such as "10%" or "12.5%", above 0 to 100 % in steps of 0.01 %, '
                f"not {shown(self.weight)}"
            )
        problems += _time_problems("bake", self.bake)
        count = self.min_candidates
        if not _is_whole(count) or not 0 <= count <= MOST_MIN_CANDIDATES:
            problems.append(f"min_candidates is a whole number from 0 to {MOST_MIN_CANDIDATES:,}, not {shown(count)}")
        if not isinstance(self.approval, bool):
            problems.append(f"approval is True or False, not {shown(self.approval)}")
        if weight_bp is None or problems:
            raise ConfigurationError(
                f"A step of a rollout cannot be used as it is, Step({shown(self.weight)}): {'; '.join(problems)}."
            )
        # One text for each weight, so that equal steps compare equal.
        vars(self).update(weight=_percentage(weight_bp), weight_bp=weight_bp)

    def to_dict(self) -> dict[str, Any]:
        """This step for JSON."""
        return {
            "weight_bp": self.weight_bp,
            "bake_seconds": self.bake.total_seconds(),
            "min_candidates": self.min_candidates,
            "approval": self.approval,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Step:
        """The inverse of :meth:`to_dict`.

        :param data: what was written.
        :raises ConfigurationError: it is no step.
        """
        _check_keys(data, "A step", ("weight_bp", "bake_seconds", "min_candidates", "approval"))
        weight_bp = data["weight_bp"]
        if not _is_whole(weight_bp) or not 0 < weight_bp <= WHOLE_BP:
            raise ConfigurationError(
                f"A step of a written plan has weight_bp {shown(weight_bp)}: basis points are 1 to {WHOLE_BP:,}."
            )
        return cls(
            _percentage(weight_bp),
            bake=_time(data["bake_seconds"]),
            min_candidates=data["min_candidates"],
            approval=data["approval"],
        )


@dataclass(frozen=True, init=False, repr=False)
class Rollout:
    """The plan that moves units from one snapshot to another, step by step.

    One object in a DAG file: operators take it as their ``model``. It is no template and holds none but ``unit``.

    :param name: names the rollout in the ledger, in Airflow (it is the name of its asset) and on the command line; 1 to
        100 letters, digits, ``-``, ``_`` or ``.``, the first of them a letter or digit.
    :param baseline: id of the snapshot to come from. An alias or a named version is not accepted: it may mean another
        snapshot tomorrow. Whether it is one is found out where the rollout is started, against the catalogue.
    :param candidate: id of the snapshot to go to; the same holds.
    :param steps: 1 to 20, of rising weights; the last one is 100 %.
    :param unit: a Jinja template that names what must stay together: a campaign, a character, a storyboard. None for
        each clip by itself, by its key.
    :param salt: begins what is hashed for the assignment; None for the rollout's name. A rollout of the same salt gives
        the same units to its candidate. It never holds a snapshot or a weight: they would deal the units out anew.
    :param mode: ``hash`` assigns each unit by its bucket alone; ``quota`` gives the candidate an exact share of each
        batch, which small batches need.
    :param in_flight: what becomes of the candidate's jobs that run when the rollout is rolled back: ``drain`` lets them
        end, ``cancel`` cancels them, ``rerender`` also renders their clips on the baseline.
    :param alpha: chance of a verdict of fail on a candidate that is as good as its baseline, for the whole rollout;
        above 0 and below 1.
    :param margin: how much higher the candidate's share of failures may be for a verdict of pass: 0.05 are 5 points;
        above 0 and below 1.
    :param max_slowdown: how much longer the candidate may take: 0.25 is a quarter; above 0.
    :param rollback_window: how long after the promotion the rollout can be rolled back, 0 to 365 days.
    :param requires: what has to have passed for these two snapshots before the rollout starts: ``replay``,
        ``benchmark``, ``acceptance``, each at most once. It is read as a set: their order decides nothing.
    :raises ConfigurationError: with all that is wrong with them. A step tells of itself where it is made.

    The numbers of ``alpha``, ``margin`` and ``max_slowdown`` are the project's rules for staged rollout.
    """

    name: str
    baseline: str
    candidate: str
    steps: tuple[Step, ...]
    unit: str | None
    salt: str
    mode: Mode
    in_flight: InFlight
    alpha: float
    margin: float
    max_slowdown: float
    rollback_window: timedelta
    requires: tuple[Requirement, ...]

    def __init__(
        self,
        name: str,
        *,
        baseline: str,
        candidate: str,
        steps: Sequence[Step],
        unit: str | None = None,
        salt: str | None = None,
        mode: Mode = "hash",
        in_flight: InFlight = "drain",
        alpha: float = 0.05,
        margin: float = 0.05,
        max_slowdown: float = 0.25,
        rollback_window: timedelta = timedelta(days=7),
        requires: Sequence[Requirement] = (),
    ) -> None:
        problems = [
            *_name_problems(name),
            *_snapshot_problems("baseline", baseline),
            *_snapshot_problems("candidate", candidate),
        ]
        if baseline == candidate:
            problems.append("baseline and candidate are the same, so there is nothing to roll out")
        problems += _steps_problems(steps)
        if unit is not None:
            problems += _text_problems("unit", unit)
        chosen = name if salt is None else salt
        problems += _salt_problems(chosen, snapshots=(baseline, candidate), is_name=salt is None)
        for argument, value, choices in (("mode", mode, get_args(Mode)), ("in_flight", in_flight, get_args(InFlight))):
            if value not in choices:
                problems.append(f"{argument} is one of {', '.join(choices)}, not {shown(value)}")
        for argument, share, most in (
            ("alpha", alpha, 1.0),
            ("margin", margin, 1.0),
            ("max_slowdown", max_slowdown, None),
        ):
            problems += _share_problems(argument, share, most=most)
        problems += _time_problems("rollback_window", rollback_window)
        problems += _requires_problems(requires)
        if problems:
            raise ConfigurationError(f"The rollout {shown(name)} cannot be used as it is: {'; '.join(problems)}.")
        vars(self).update(
            name=name,
            baseline=baseline,
            candidate=candidate,
            steps=tuple(steps),
            unit=unit,
            salt=chosen,
            mode=mode,
            in_flight=in_flight,
            alpha=float(alpha),
            margin=float(margin),
            max_slowdown=float(max_slowdown),
            rollback_window=rollback_window,
            # One order for each set, so that equal plans have one hash.
            requires=tuple(each for each in get_args(Requirement) if each in requires),
        )

    @classmethod
    def switch(cls, name: str, *, current: str, to: str) -> Rollout:
        """A change of version at once: one step of 100 %, without bake and without a least number of jobs.

        :param name: as for the class.
        :param current: id of the snapshot in use: the baseline, which a rollback goes back to.
        :param to: id of the snapshot to use from now on: the candidate.
        :raises ConfigurationError: with all that is wrong with them.
        """
        return cls(name, baseline=current, candidate=to, steps=[Step("100%", min_candidates=0)])

    @property
    def plan_hash(self) -> str:
        """Names all that the plan decides: ``sha256:`` and 64 digits. Another hash is another plan.

        The same in every release: an entry that a later one adds to :meth:`to_dict` counts only where it is not its
        default, or each rollout that runs would look edited after an upgrade.
        """
        decided = {key: value for key, value in self.to_dict().items() if key != "plan_version"}
        canonical = json.dumps(decided, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"

    @property
    def asset_name(self) -> str:
        """Name of the Airflow asset that carries the ledger."""
        return self.name

    @property
    def asset_uri(self) -> str:
        """URI of that asset. Airflow leaves a scheme that begins with ``x-`` as it is written."""
        return f"{ASSET_SCHEME}{self.name}"

    @property
    def asset(self) -> Asset:
        """That asset, for ``schedule``, ``inlets`` and ``outlets``."""
        from airflow.sdk import Asset

        return Asset(name=self.asset_name, uri=self.asset_uri, group=ASSET_GROUP)

    @property
    def total_bake(self) -> timedelta:
        """The least time from the start to the end, all steps together."""
        return sum((step.bake for step in self.steps), timedelta(0))

    def weight_at(self, step: int) -> int:
        """The candidate's share at a step, in basis points.

        :param step: 0 for the first one.
        :raises ConfigurationError: there is no such step.
        """
        # A negative index is no step from the end: it would be the whole.
        if not _is_whole(step) or not 0 <= step < len(self.steps):
            raise ConfigurationError(
                f"The rollout {self.name!r} has steps 0 to {len(self.steps) - 1}, and none of number {shown(step)}."
            )
        return self.steps[step].weight_bp

    def to_dict(self) -> dict[str, Any]:
        """This plan for JSON."""
        required: dict[str, Any] = {"requires": list(self.requires)} if self.requires else {}
        return {
            "plan_version": REQUIRING_PLAN_VERSION if self.requires else PLAN_VERSION,
            "name": self.name,
            "baseline": self.baseline,
            "candidate": self.candidate,
            "steps": [step.to_dict() for step in self.steps],
            "unit": self.unit,
            "salt": self.salt,
            "mode": self.mode,
            "in_flight": self.in_flight,
            "alpha": self.alpha,
            "margin": self.margin,
            "max_slowdown": self.max_slowdown,
            "rollback_window_seconds": self.rollback_window.total_seconds(),
            **required,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Rollout:
        """The inverse of :meth:`to_dict`.

        :param data: what was written.
        :raises ConfigurationError: it is no plan, or one that a later release of this provider wrote.
        """
        # Before the keys: those of a later version are others.
        version = data.get("plan_version", PLAN_VERSION) if isinstance(data, Mapping) else PLAN_VERSION
        if version not in (PLAN_VERSION, REQUIRING_PLAN_VERSION):
            raise ConfigurationError(
                f"A written plan of a rollout has plan_version {shown(version)}, and this release reads "
                f"{PLAN_VERSION} and {REQUIRING_PLAN_VERSION}. Use the release of airflow-provider-sora that wrote it, "
                "or a later one."
            )
        requiring = ("requires",) if version == REQUIRING_PLAN_VERSION else ()
        _check_keys(data, "A rollout", (*_PLAN_KEYS, *requiring))
        steps = data["steps"]
        if not isinstance(steps, list | tuple):
            raise ConfigurationError(f"A written plan of a rollout has steps that are no list but {shown(steps)}.")
        if not isinstance(data["salt"], str):
            raise ConfigurationError(f"A written plan of a rollout has salt {shown(data['salt'])}, which is no text.")
        return cls(
            data["name"],
            steps=[Step.from_dict(step) for step in steps],
            rollback_window=_time(data["rollback_window_seconds"]),
            requires=data.get("requires", ()),
            **{key: data[key] for key in _READ_AS_WRITTEN},
        )

    def __repr__(self) -> str:
        # Airflow writes this for a template field, and hashes it: the same at each parse, another for another plan.
        weights = " ".join(step.weight for step in self.steps)
        digest = self.plan_hash.removeprefix("sha256:")[:8]
        return f"Rollout({self.name!r}, {self.baseline} to {self.candidate} by {weights}, plan {digest})"


_READ_AS_WRITTEN = (
    "baseline",
    "candidate",
    "unit",
    "salt",
    "mode",
    "in_flight",
    "alpha",
    "margin",
    "max_slowdown",
)
_PLAN_KEYS = ("plan_version", "name", "steps", "rollback_window_seconds", *_READ_AS_WRITTEN)


def _basis_points(weight: object) -> int | None:
    match = _WEIGHT.fullmatch(weight.strip()) if isinstance(weight, str) else None
    points = Decimal(match[1]) * 100 if match else Decimal(0)
    return int(points) if 0 < points <= WHOLE_BP and points == int(points) else None


def _percentage(weight_bp: int) -> str:
    return f"{weight_bp / 100:g}%"


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    # JSON may hold a NaN, an infinity or a whole number that no float can take.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST_NUMBER


def _time(seconds: Any) -> Any:
    """A time as it was written; what is none is left as it is, for the refusal to show."""
    try:
        return timedelta(seconds=seconds) if _is_number(seconds) else seconds
    except OverflowError:
        return seconds


def _check_keys(data: object, what: str, keys: Sequence[str]) -> None:
    if not isinstance(data, Mapping):
        raise ConfigurationError(f"{what} of a written plan is a mapping, not {shown(data)}.")
    missing = sorted(set(keys) - set(data))
    unknown = sorted(str(key) for key in set(data) - set(keys))
    if missing or unknown:
        told = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has {', '.join(unknown)}"] * bool(unknown)
        raise ConfigurationError(f"{what} of a written plan {' and '.join(told)}; it has {', '.join(sorted(keys))}.")


def _text_problems(argument: str, value: object) -> Iterator[str]:
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_TEXT or not is_text(value):
        yield f"{argument} is a text of 1 to {LONGEST_TEXT:,} characters, not {shown(value)}"


def _name_problems(name: object) -> Iterator[str]:
    if not isinstance(name, str) or len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        yield (
            f"name has 1 to {LONGEST_NAME} letters, digits, '-', '_' or '.', the first of them a letter or digit, "
            f"and is not {shown(name)}"
        )
    elif name in _FORBIDDEN_NAMES:
        yield f"name is not {name!r}: Airflow takes no asset of that name"


def _snapshot_problems(argument: str, value: object) -> Iterator[str]:
    if not isinstance(value, str) or not value or len(value) > LONGEST_TEXT or not is_text(value):
        yield f"{argument} is the id of a snapshot, not {shown(value)}, and an alias is not accepted"
    elif any(character.isspace() for character in value) or "{{" in value:
        yield (
            f"{argument} is the id of a snapshot, without spaces and no template, not {value!r}, and an alias is not "
            "accepted"
        )


def _steps_problems(steps: object) -> Iterator[str]:
    if not isinstance(steps, list | tuple) or not 1 <= len(steps) <= MOST_STEPS:
        yield f"steps is a list of 1 to {MOST_STEPS} steps, not {shown(steps)}"
    elif odd := [step for step in steps if not isinstance(step, Step)]:
        yield f'each of the steps is a Step, such as Step("10%"), not {shown(odd[0])}'
    else:
        weights = ", ".join(step.weight for step in steps)
        if any(step.weight_bp >= following.weight_bp for step, following in pairwise(steps)):
            yield f"the weights of the steps rise from one to the next, and these do not: {weights}"
        if steps[-1].weight_bp != WHOLE_BP:
            yield f'the last step is 100 %, and not {steps[-1].weight}: add Step("100%")'


def _salt_problems(salt: object, *, snapshots: Sequence[object], is_name: bool) -> Iterator[str]:
    if not is_name:
        yield from _text_problems("salt", salt)
    if isinstance(salt, str):
        named = [text for text in snapshots if isinstance(text, str) and text]
        held = [text for text in named if re.search(rf"(?<![^\W_]){re.escape(text)}(?![^\W_])", salt)]
        held += [match[0] for match in [_PERCENTAGE.search(salt)] if match]
        if held:
            what = "salt (the name, where none is given)" if is_name else "salt"
            yield (
                f"{what} {salt!r} holds {', '.join(map(repr, held))}: with a snapshot or a weight in it, the next "
                "rollout would deal the units out anew. Give a salt that stays"
            )


def _share_problems(argument: str, value: object, *, most: float | None) -> Iterator[str]:
    if not isinstance(value, int | float) or not _is_number(value) or value <= 0 or (most and value >= most):
        bounds = "above 0" if most is None else f"above 0 and below {most:g}"
        yield f"{argument} is a number {bounds}, not {shown(value)}"


def _time_problems(argument: str, value: object) -> Iterator[str]:
    if not isinstance(value, timedelta) or not timedelta(0) <= value <= LONGEST_TIME:
        yield f"{argument} is a timedelta from 0 to {LONGEST_TIME.days} days, not {shown(value)}"


def _requires_problems(value: object) -> Iterator[str]:
    names = ", ".join(get_args(Requirement))
    if not isinstance(value, list | tuple):
        yield f"requires is a list of {names}, not {shown(value)}"
    elif odd := [each for each in value if each not in get_args(Requirement)]:
        yield f"each of requires is one of {names}, not {shown(odd[0])}"
    elif twice := [each for each in get_args(Requirement) if value.count(each) > 1]:
        yield f"requires names {', '.join(twice)} more than once"
