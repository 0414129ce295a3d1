"""What a report says of a comparison as a whole: the verdict, what it rests on, and the rows of its plots. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from airflow_provider_sora.evaluation.metrics import BY_NAME
from airflow_provider_sora.exceptions import VideoModeratedError
from airflow_provider_sora.reports import wording
from airflow_provider_sora.reports.cards import seconds_for_ten
from airflow_provider_sora.reports.plots import MOST_ROWS, Estimate, Failures, PromptTimes
from airflow_provider_sora.videos.job import JobError

_VERDICTS: Final = {
    "pass": "The candidate passes",
    "fail": "The candidate fails",
    "inconclusive": "Not decided",
}

#: What people look for first.
_ORDER: Final = ("fail", "inconclusive", "pass", "told", "absent")

_GROUPS: Final = {"replay": "What the clips are like", "benchmark": "Time and attempts"}

#: Metrics that are a share of the clips, or of a clip.
_SHARES: Final = frozenset(
    {"failed", "moderated", "undecodable", "sound_missing", "first_attempt_failed", "clipped_share"}
)

_RELIABILITY: Final = {
    "success_rate": ("Clips that came", "count"),
    "first_attempt_rate": ("… at the first attempt", "count"),
    "rescued": ("… only at a later attempt", "count"),
    "seconds_per_10s": ("Rendering of 10 s of video, median", "s"),
    "spread": ("A slow clip ÷ a usual one (p90 ÷ p50)", ""),
    "queue_seconds": ("In the queue, median", "s"),
    "first_progress_seconds": ("Until the first progress, median", "s"),
    "same_bytes_on_repeat": ("Same bytes when repeated", "count"),
}


@dataclass(frozen=True, kw_only=True)
class FindingRow:
    """A finding in words.

    :param label: what was compared.
    :param verdict: ``pass``, ``fail``, ``inconclusive``, ``told`` or ``absent``.
    :param message: the finding in a sentence.
    :param baseline: of the baseline.
    :param candidate: of the candidate.
    :param change: from the one to the other.
    :param interval: what the change may be.
    :param limit: what is allowed.
    :param pairs: of how many prompts.
    """

    label: str
    verdict: str
    message: str
    baseline: str
    candidate: str
    change: str
    interval: str
    limit: str
    pairs: str


def verdict_words(document: Mapping[str, Any]) -> tuple[str, str]:
    """The verdict in a few words, and the sentence that says why.

    :param document: the comparison.
    """
    verdict = str(document["verdict"])
    decisive = [each for each in _in_order(document["findings"]) if each["verdict"] == verdict]
    judged = [each for each in document["findings"] if each["verdict"] in _VERDICTS]
    if verdict == "pass":
        why = f"It met each of the {len(judged)} criteria: it is surely not worse than they allow."
    elif verdict == "fail":
        why = _failed_words(decisive, len(judged))
    elif decisive:
        why = f"{_undecided_words(decisive, len(judged))} What each of them lacks is said below."
    elif document["doubts"]:
        why = "What speaks against it is no criterion:"
    else:
        why = "Nothing was judged: no criterion has a limit, or nothing could be compared."
    return _VERDICTS.get(verdict, verdict), why


def looks_worse(finding: Mapping[str, Any]) -> bool:
    """Whether the estimate is beyond what is allowed, which proves nothing yet.

    :param finding: of the document.
    """
    change, limit = finding["difference"], finding["limit"]
    if change is None or limit is None or not wording.is_number(change["estimate"]):
        return False
    estimate = change["estimate"]
    if finding["scale"] == "ratio":
        estimate, limit = math.log(estimate) if estimate > 0 else -math.inf, math.log1p(limit)
    return bool({"lower": estimate, "higher": -estimate, "none": abs(estimate)}[_better(finding)] > limit)


def lenient_words(document: Mapping[str, Any]) -> str:
    """Of what more was let pass than by default, and how much; empty where nothing was.

    :param document: the comparison.
    """
    by_limit: dict[str, list[str]] = {}
    for metric in (BY_NAME[name] for name in document.get("lenient") or ()):
        limit = document["criteria"]["limits"].get(metric.name)
        told = wording.allowed(limit, scale=metric.scale, unit=metric.unit, better=_better(vars(metric)))
        by_limit.setdefault("only told" if limit is None else told, []).append(metric.label)
    return "; ".join(f"{', '.join(labels)} ({told})" for told, labels in by_limit.items())


def finding_groups(document: Mapping[str, Any]) -> list[tuple[str, list[FindingRow]]]:
    """The findings of each group, below its heading: those first that speak most against the candidate.

    :param document: the comparison.
    """
    findings = _in_order(document["findings"])
    groups = {
        heading: [_finding_row(each) for each in findings if each["group"] == group]
        for group, heading in _GROUPS.items()
    }
    return [(heading, rows) for heading, rows in groups.items() if rows]


def reliability_rows(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What is known of time and attempts: a label, and how it is on each side.

    :param document: the comparison.
    """
    rows = []
    for name, (label, kind) in _RELIABILITY.items():
        values = [document["reliability"][side].get(name) for side in ("baseline", "candidate")]
        told = [wording.count_of(value) if kind == "count" else wording.quantity(value, kind) for value in values]
        if told != [wording.NOTHING] * 2:
            rows.append((label, told[0], told[1]))
    return rows


def estimates(findings: Sequence[Mapping[str, Any]]) -> tuple[list[Estimate], list[Estimate]]:
    """The rows of a forest plot: ratios, and other changes in multiples of what is allowed.

    A change without a limit has nothing to be measured by beside others, and stands in the table alone.

    :param findings: of the document.
    """
    ratios, differences = [], []
    for each in findings:
        change, limit = each["difference"], each["limit"]
        if change is None or not wording.is_number(change["estimate"]):
            continue
        better = _better(each)
        if each["scale"] == "ratio":
            ratios.append(_estimate(each, 1.0, _limits_of_ratio(limit, better)))
        elif limit:
            towards = -1.0 if better == "higher" else 1.0
            differences.append(_estimate(each, towards / limit, (-1.0, 1.0) if better == "none" else (1.0,)))
    return ratios, differences


def prompt_times(pairs: Sequence[Mapping[str, Any]]) -> tuple[list[PromptTimes], int]:
    """What each prompt took on both sides, the median of its repeats; those first that became slower most.

    :param pairs: of the document.
    :return: the rows of a plot, and how many prompts found no room in it.
    """
    taken: dict[str, tuple[list[float], list[float]]] = {}
    for pair in pairs:
        for of_side, side in zip(taken.setdefault(pair["key"], ([], [])), ("baseline", "candidate"), strict=True):
            seconds = seconds_for_ten(pair[side], pair["request"])
            if seconds is not None and seconds > 0:
                of_side.append(seconds)
    rows = [
        PromptTimes(label=key, baseline=median(baseline), candidate=median(candidate))
        for key, (baseline, candidate) in taken.items()
        if baseline and candidate
    ]
    rows.sort(key=lambda row: -math.log(row.candidate / row.baseline))
    return rows[:MOST_ROWS], max(0, len(rows) - MOST_ROWS)


def failure_rows(pairs: Sequence[Mapping[str, Any]]) -> list[Failures]:
    """How many clips of each side needed another attempt, and how many failed in the end, by their error codes.

    What moderation stopped tells of the prompt: as in the findings, it is no first attempt that failed.

    :param pairs: of the document.
    """
    counts: dict[str, Counter[str]] = {"baseline": Counter(), "candidate": Counter()}
    again = "first attempt failed"
    for pair in pairs:
        for side, counted in counts.items():
            error = pair[side]["error"] or {}
            is_refused = _is_refused(error)
            if (pair[side]["attempts"] or {}).get("first_attempt_failed") and not is_refused:
                counted[again] += 1
            # What a limit kept from being begun did not fail; it is among the unfinished.
            if pair[side]["artifact"] is None and pair[side].get("has_ended", True):
                counted[f"{'refused' if is_refused else 'failed'}: {error.get('code') or 'no clip'}"] += 1
    labels = sorted(counts["baseline"] | counts["candidate"], key=lambda label: (label != again, label))
    return [
        Failures(label=label, baseline=counts["baseline"][label], candidate=counts["candidate"][label])
        for label in labels
    ]


def _in_order(findings: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Failed ones first, then those that are not decided; of both those first that chance explains least."""

    def rank(finding: Mapping[str, Any]) -> tuple[int, float]:
        place = _ORDER.index(finding["verdict"])
        has_order = finding["verdict"] in ("fail", "inconclusive") and finding["p_value"] is not None
        return place, finding["p_value"] if has_order else 1.0

    return sorted(findings, key=rank)


def _is_refused(error: Mapping[str, Any]) -> bool:
    """Whether a content policy stopped the job."""
    job_error = JobError(code=error.get("code"), message=str(error.get("message")))
    return error.get("code") == VideoModeratedError.__name__ or job_error.is_moderation


def _labels(findings: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(each["label"] for each in findings)


def _failed_words(failed: Sequence[Mapping[str, Any]], judged: int) -> str:
    """What speaks against the candidate: of faults a few prompts show that there are more before they show how many."""
    beyond = [each for each in failed if each["scale"] != "share" or looks_worse(each)]
    told = []
    if beyond:
        told.append(f"It is surely worse than allowed in {len(beyond)} of {judged} criteria: {_labels(beyond)}.")
    if rest := [each for each in failed if each not in beyond]:
        which = f"{len(rest)} {'others' if beyond else f'of {judged} criteria'}"
        told.append(
            f"In {which} it is surely worse than the baseline, and not surely within what is allowed: {_labels(rest)}."
        )
    return " ".join(told)


def _undecided_words(undecided: Sequence[Mapping[str, Any]], judged: int) -> str:
    """What these prompts do not settle: by name what looks worse, of the others only how many they are."""
    worse = [each for each in undecided if looks_worse(each)]
    if not worse:
        which = "which does not look" if len(undecided) == 1 else "none of which looks"
        return (
            f"These prompts cannot settle {len(undecided)} of {judged} criteria, {which} worse than allowed: "
            f"{_labels(undecided)}."
        )
    told = ", ".join(f"{each['label']} ({_seen(each)})" for each in worse)
    words = f"Looks worse than allowed, but too few prompts to be sure: {told}."
    if others := len(undecided) - len(worse):
        does = "other one does not, and needs" if others == 1 else f"other {others} do not, and need"
        words += f" The {does} more prompts to be sure of."
    return words


def _seen(finding: Mapping[str, Any]) -> str:
    estimate = finding["difference"]["estimate"]
    if finding["scale"] == "share":
        better = f", better on {finding['better']}" if finding["better"] else ""
        return f"worse on {finding['worse']} of {finding['pairs']}{better}"
    if finding["scale"] == "ratio":
        return f"{wording.quantity(estimate)} times"
    return wording.change(estimate, scale=finding["scale"], unit=finding["unit"])


def _finding_row(finding: Mapping[str, Any]) -> FindingRow:
    scale, unit = finding["scale"], finding["unit"]
    change = finding["difference"] or {"estimate": None, "lower": None, "upper": None}
    return FindingRow(
        label=finding["label"],
        verdict=finding["verdict"],
        message=finding["message"],
        baseline=_amount(finding, finding["baseline"]),
        candidate=_amount(finding, finding["candidate"]),
        change=wording.change(change["estimate"], scale=scale, unit=unit),
        interval=wording.interval(change["lower"], change["upper"], scale=scale, unit=unit),
        limit=wording.allowed(finding["limit"], scale=scale, unit=unit, better=_better(finding)),
        pairs=wording.quantity(finding["pairs"]),
    )


def _amount(finding: Mapping[str, Any], value: float | None) -> str:
    if finding["name"] in _SHARES:
        return wording.share(value)
    return wording.quantity(value, finding["unit"])


def _better(finding: Mapping[str, Any]) -> str:
    # The change of a share is counted in prompts that came off worse.
    return "lower" if finding["scale"] == "share" else BY_NAME[finding["name"]].better


def _limits_of_ratio(limit: float | None, better: str) -> tuple[float, ...]:
    if limit is None:
        return ()
    return {"lower": (1 + limit,), "higher": (1 / (1 + limit),)}.get(better, (1 / (1 + limit), 1 + limit))


def _estimate(finding: Mapping[str, Any], factor: float, limits: tuple[float, ...]) -> Estimate:
    change = finding["difference"]
    ends = [end * factor if wording.is_number(end) else None for end in (change["lower"], change["upper"])]
    lower, upper = ends if factor > 0 else reversed(ends)
    return Estimate(
        label=finding["label"],
        estimate=change["estimate"] * factor,
        lower=lower,
        upper=upper,
        limits=limits,
        verdict=finding["verdict"],
    )
