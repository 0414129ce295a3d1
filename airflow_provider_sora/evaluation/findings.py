"""What each metric of a comparison came to, and what follows for it. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from airflow_provider_sora.evaluation import wording
from airflow_provider_sora.evaluation.criteria import Criteria
from airflow_provider_sora.evaluation.metrics import Group, Scale
from airflow_provider_sora.evaluation.samples import Sample
from airflow_provider_sora.evaluation.signed_rank import Shift
from airflow_provider_sora.evaluation.trials import Trial, trial_of

#: ``told`` where nothing is allowed or forbidden, ``absent`` where there is nothing to compare; neither counts. What is
#: essential and absent is ``inconclusive``.
Verdict = Literal["pass", "fail", "inconclusive", "told", "absent"]

#: Digits that a document keeps of a number: more than a clip has, and the same on any machine.
_DIGITS: Final = 6


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One metric, compared.

    :param name: of the metric, like the next four.
    :param label: for people.
    :param group: the evidence that it belongs to.
    :param unit: of ``baseline`` and ``candidate``, and of the difference where that is the scale.
    :param scale: of the difference and the limit.
    :param baseline: the baseline's value: the mean over the prompts of a share, else the median; None where absent.
    :param candidate: the candidate's, likewise.
    :param pairs: prompts that have a value on both sides.
    :param worse: prompts on which the candidate came off worse; None where neither way is better.
    :param better: prompts on which the baseline did; None likewise.
    :param same: prompts on which they came off alike; None likewise.
    :param difference: with one-sided 95 % limits: prompts that came off worse less those that came off better, as a
        share of all; the ratio; or the difference. None where absent.
    :param limit: what may be lost; None where it is only told.
    :param p_value: of "no more is lost than is allowed", of a share of "nothing is lost"; None where not judged.
    :param verdict: what follows.
    :param message: all of it in a sentence or two.
    :param needed: prompts that would settle what is inconclusive; None where it is not, or where it cannot be told.
    """

    name: str
    label: str
    group: Group
    unit: str
    scale: Scale
    baseline: float | None
    candidate: float | None
    pairs: int
    worse: int | None
    better: int | None
    same: int | None
    difference: Shift | None
    limit: float | None
    p_value: float | None
    verdict: Verdict
    message: str
    needed: int | None

    @property
    def is_judged(self) -> bool:
        """Whether it counts for the verdict of the comparison."""
        return self.verdict in ("pass", "fail", "inconclusive")

    def to_dict(self) -> dict[str, Any]:
        """This finding for JSON, which has no infinity: a limit for which there are too few prompts is null."""
        return {
            **vars(self),
            "baseline": _rounded(self.baseline),
            "candidate": _rounded(self.candidate),
            "difference": None if self.difference is None else _limits(self.difference),
            "p_value": _rounded(self.p_value),
        }


def judge(samples: Sequence[Sample], criteria: Criteria) -> tuple[Finding, ...]:
    """Hold all metrics against what is allowed.

    Those that are judged are tested together: Holm's correction (Scandinavian Journal of Statistics 6, 1979) keeps the
    chance that any of them fails by mistake at ``alpha``.

    :param samples: of each metric.
    :param criteria: what is allowed.
    """
    limits = {sample.metric.name: criteria.limits.get(sample.metric.name, sample.metric.limit) for sample in samples}
    trials = {sample.metric.name: trial_of(sample) for sample in samples if sample.absent is None}
    p_values = {name: trial.p_value(limit) for name, trial in trials.items() if (limit := limits[name]) is not None}
    refused = holm(p_values, alpha=criteria.alpha)
    findings = []
    for sample in samples:
        name, trial = sample.metric.name, trials.get(sample.metric.name)
        if trial is None:
            findings.append(_absent(sample, limit=limits[name]))
        elif (limit := limits[name]) is None:
            findings.append(_told(sample, trial))
        else:
            judgement = _Judgement(sample, trial, criteria, limit, p_values[name], name in refused, len(p_values))
            findings.append(judgement.finding)
    return tuple(findings)


def holm(p_values: Mapping[str, float], *, alpha: float) -> frozenset[str]:
    """The hypotheses that are refused together.

    :param p_values: of each, by name.
    :param alpha: the chance that any of them is refused although it is true.
    """
    refused: set[str] = set()
    for name in sorted(p_values, key=lambda each: p_values[each]):
        if p_values[name] > alpha / (len(p_values) - len(refused)):
            break
        refused.add(name)
    return frozenset(refused)


@dataclass(frozen=True)
class _Judgement:
    """A metric that has a limit.

    :param sample: its values.
    :param trial: what they prove.
    :param criteria: of the comparison.
    :param limit: of this metric.
    :param p_value: of its test.
    :param is_refused: whether that withstands Holm's correction.
    :param judged: metrics that have a limit.
    """

    sample: Sample
    trial: Trial
    criteria: Criteria
    limit: float
    p_value: float
    is_refused: bool
    judged: int

    @property
    def finding(self) -> Finding:
        """What follows."""
        verdict, needed = self._verdict, None
        if verdict == "inconclusive":
            bar = self.criteria.alpha / self.judged
            needed = self.trial.needed(self.limit, bar=bar, least=self.criteria.min_prompts)
        return replace(
            _told(self.sample, self.trial),
            limit=self.limit,
            p_value=self.p_value,
            verdict=verdict,
            message=self._message(verdict, needed),
            needed=needed,
        )

    @property
    def _verdict(self) -> Verdict:
        # First: a rise that is certain and smaller than what is allowed is allowed.
        if self.trial.is_within(self.limit) and self.sample.prompts >= self.criteria.min_prompts:
            return "pass"
        return "fail" if self.is_refused else "inconclusive"

    def _message(self, verdict: Verdict, needed: int | None) -> str:
        difference, least = self.trial.difference, self.criteria.min_prompts
        said = [f"{wording.seen(self.sample, difference)}; {wording.allowed(self.sample.metric, self.limit)}."]
        if verdict == "fail":
            said.append(wording.beyond_chance(self.p_value))
        elif verdict == "inconclusive" and self.trial.is_within(self.limit):
            said.append(f"Nothing passes on fewer than {least} prompts.")
        elif verdict == "inconclusive":
            if self.p_value <= self.criteria.alpha:
                said.append(wording.one_of_many(self.p_value, self.judged))
            said.append(wording.what_settles(self.sample, difference, needed, least=least))
        return " ".join(said)


def _told(sample: Sample, trial: Trial) -> Finding:
    """A metric without a limit."""
    difference, (worse, better) = trial.difference, (sample.worse, sample.better)
    has_sides = sample.metric.better != "none"
    return replace(
        _absent(sample, limit=None),
        worse=worse if has_sides else None,
        better=better if has_sides else None,
        same=sample.prompts - worse - better if has_sides else None,
        difference=difference,
        verdict="told",
        message=f"{wording.seen(sample, difference)}. This is told and not judged.",
    )


def _absent(sample: Sample, *, limit: float | None) -> Finding:
    """A metric of which no prompt has a value on both sides."""
    metric, (baseline, candidate) = sample.metric, sample.typical
    is_missed = metric.is_essential and limit is not None
    said = [f"{metric.label} was not compared: {(sample.absent or metric.lacking).rstrip('.')}."]
    if is_missed:
        said.append(wording.without(metric))
    return Finding(
        name=metric.name,
        label=metric.label,
        group=metric.group,
        unit=metric.unit,
        scale=metric.scale,
        baseline=baseline,
        candidate=candidate,
        pairs=sample.prompts,
        worse=None,
        better=None,
        same=None,
        difference=None,
        limit=limit,
        p_value=None,
        verdict="inconclusive" if is_missed else "absent",
        message=" ".join(said),
        needed=None,
    )


def _limits(difference: Shift) -> dict[str, float | None]:
    # A ratio's lower limit is 0 where there is none: both are there, or neither is.
    has_limits = math.isfinite(difference.upper)
    return {
        "estimate": _rounded(difference.estimate),
        "lower": _rounded(difference.lower) if has_limits else None,
        "upper": _rounded(difference.upper) if has_limits else None,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{_DIGITS}g}")
