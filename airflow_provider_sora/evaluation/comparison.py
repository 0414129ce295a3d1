"""Baseline and candidate on the same prompts, and what follows. Pure.

The document that it makes is read by people, by a rollout that wants evidence before it starts, and by later releases.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from airflow_provider_sora.evaluation import wording
from airflow_provider_sora.evaluation.criteria import Criteria
from airflow_provider_sora.evaluation.findings import Finding, judge
from airflow_provider_sora.evaluation.metrics import METRICS, Group
from airflow_provider_sora.evaluation.pairs import Pair
from airflow_provider_sora.evaluation.reliability import reliability
from airflow_provider_sora.evaluation.samples import sample_of
from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.videos.result import is_same_model

#: The version of what :meth:`Comparison.to_dict` writes.
FORMAT: Final = 1

#: The part of a frame rate that counts as the same: 23.976 is 24.
_SAME_RATE: Final = 0.95

#: What a comparison, or a part of it, comes to.
Conclusion = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All that a comparison found.

    :param pairs: that were compared.
    :param criteria: that they were held against.
    :param findings: one for each metric, in the order in which people read them.
    :param lacking: prompts of the suite that the candidate cannot render, and the baseline can.
    """

    pairs: tuple[Pair, ...]
    criteria: Criteria
    findings: tuple[Finding, ...]
    lacking: int = 0

    @property
    def verdict(self) -> Conclusion:
        """``fail`` where any criterion fails, else ``inconclusive`` where any is or none is judged, else ``pass``. With
        doubts nothing passes."""
        return self._conclusion(self.findings)

    @property
    def evidence(self) -> dict[Group, Conclusion]:
        """The same of each group by itself: what a rollout may require."""
        return {
            group: self._conclusion([finding for finding in self.findings if finding.group == group])
            for group in get_args(Group)
        }

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why the findings may not say what they seem to, in sentences: with any, nothing passes."""
        return tuple(self._doubts())

    @property
    def compared(self) -> int:
        """Prompts that have a clip on both sides which can be seen or heard."""
        return len({pair.key for pair in self.pairs if all(side.seen is not None for side in pair.sides.values())})

    @property
    def multiplicity(self) -> tuple[str, ...]:
        """How it is allowed for that several criteria are judged at once, in sentences."""
        judged = sum(finding.is_judged for finding in self.findings)
        return wording.multiplicity(judged, alpha=self.criteria.alpha)

    @property
    def reliability(self) -> dict[str, dict[str, Any]]:
        """How reliable each side was by itself."""
        return {
            "baseline": reliability([pair.baseline for pair in self.pairs]),
            "candidate": reliability([pair.candidate for pair in self.pairs]),
        }

    def to_dict(self) -> dict[str, Any]:
        """This comparison for JSON."""
        return {
            "format": FORMAT,
            "suite": {
                "prompts": len({pair.key for pair in self.pairs}),
                "compared": self.compared,
                "repeats": max((pair.repeat for pair in self.pairs), default=0),
                "unfinished": list(self._unfinished()),
            },
            "criteria": self.criteria.to_dict(),
            "verdict": self.verdict,
            "evidence": self.evidence,
            "doubts": list(self.doubts),
            "multiplicity": list(self.multiplicity),
            "findings": [finding.to_dict() for finding in self.findings],
            "reliability": self.reliability,
            "pairs": [pair.to_dict() for pair in self.pairs],
        }

    def _conclusion(self, findings: Sequence[Finding]) -> Conclusion:
        verdicts = {finding.verdict for finding in findings if finding.is_judged}
        if "fail" in verdicts:
            return "fail"
        return "pass" if verdicts == {"pass"} and not self.doubts else "inconclusive"

    def _doubts(self) -> Iterator[str]:
        prompts, least = len({pair.key for pair in self.pairs}), self.criteria.min_prompts
        if prompts < least:
            yield (
                f"The suite has {prompts:,} {'prompt' if prompts == 1 else 'prompts'} that both can render, fewer than "
                f"min_prompts, {least:,}: nothing can pass on so few."
            )
        elif self.compared < least:
            yield (
                f"Only {self.compared:,} of {prompts:,} prompts have a clip on both sides that can be decoded, fewer "
                f"than min_prompts, {least:,}. Where both sides fail alike, look at the server and compare anew once "
                "it works."
            )
        if self.lacking:
            yield (
                f"The candidate cannot render {self.lacking:,} of the suite's prompts, and the baseline can: they are "
                "compared by nothing here. Whoever needs such prompts loses them: take them out of the suite, or let "
                "the rollout start by force and say why."
            )
        yield from self._unlike()
        served: Counter[tuple[str, str, str]] = Counter()
        for pair in self.pairs:
            for name, side in pair.sides.items():
                asked, model = side.entry["version"]["snapshot"], side.entry["version"].get("served_model")
                if not is_same_model(model, asked):
                    served[(name, asked, str(model))] += 1
        for (of, asked, model), clips in served.items():
            yield (
                f"The server says that {model} made {clips:,} of the {of}'s clips, and not {asked}. What was compared "
                "may be something else: ask whoever runs the server which model answers to which name."
            )

    def _unlike(self) -> Iterator[str]:
        """What nobody asked for, so that it is no mismatch, and people see in each clip."""
        # Where a size was asked for, another one is a mismatch.
        if sizes := [pair for pair in self.pairs if not pair.is_of_one_size and not pair.request.get("size")]:
            yield (
                f"The clips of {len(sizes):,} of {len(self.pairs):,} pairs are not of the same size "
                f"({_sizes(sizes[0])}), and no size was asked for. Blur is not compared between these. Ask for a size, "
                "so that both sides render the same."
            )
        if slower := [rates for pair in self.pairs if (rates := _fewer_frames(pair)) is not None]:
            before, after = slower[0]
            yield (
                f"The candidate's clips have fewer frames a second than the baseline's in {len(slower):,} of "
                f"{len(self.pairs):,} pairs ({after:g}, and not {before:g}). No criterion judges that. Ask for fps "
                "where the server takes it, or let the rollout start by force and say why."
            )

    def _unfinished(self) -> Iterator[dict[str, Any]]:
        for pair in self.pairs:
            for name, side in pair.sides.items():
                if not side.has_ended:
                    error = side.entry.get("error") or {}
                    yield {
                        "key": pair.key,
                        "side": name,
                        "code": error.get("code"),
                        "message": error.get("message"),
                    }


def _sizes(pair: Pair) -> str:
    told = [f"{name}: {side.seen.width}x{side.seen.height}" for name, side in pair.sides.items() if side.seen]
    return ", ".join(told)


def _fewer_frames(pair: Pair) -> tuple[float, float] | None:
    """The frame rates of the two sides, where the candidate's is lower by more than one can overlook."""
    before, after = (None if side.seen is None else side.seen.fps for side in (pair.baseline, pair.candidate))
    return (before, after) if before and after and after < before * _SAME_RATE else None


def compare(pairs: Sequence[Pair], criteria: Criteria, *, lacking: int = 0) -> Comparison:
    """Compare all pairs by all metrics.

    :param pairs: one for each prompt and repeat, in the order in which they are to be told.
    :param criteria: what the candidate may lose.
    :param lacking: prompts of the suite that the candidate cannot render, and the baseline can.
    :raises ConfigurationError: a pair is there twice, or an entry cannot be read.
    """
    seen = Counter((pair.key, pair.repeat) for pair in pairs)
    if twice := [f"{key!r}, repeat {repeat}" for (key, repeat), count in seen.items() if count > 1]:
        raise ConfigurationError(
            f"{len(twice)} pairs are there more than once, such as {twice[0]}. Nothing was compared: each would count "
            "again."
        )
    samples = [sample_of(metric, pairs) for metric in METRICS]
    return Comparison(pairs=tuple(pairs), criteria=criteria, findings=judge(samples, criteria), lacking=lacking)
