"""The same request rendered by both snapshots: what the comparison looks at. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from airflow_provider_sora.media.measurement import Measurement
from airflow_provider_sora.rollouts.evidence import Job, Outcome, job_of
from airflow_provider_sora.rollouts.exposure import Variant

#: Parts of a manifest's entry that the document of a comparison repeats.
_TOLD = ("status", "error", "artifact", "timing", "attempts", "usage")


@dataclass(frozen=True, kw_only=True)
class Side:
    """One snapshot's clip of a pair.

    :param entry: of the result manifest.
    :param measurement: what :meth:`~airflow_provider_sora.media.measurement.Measurement.to_dict` gave; None where there
        is no clip, or it was not measured.
    """

    entry: Mapping[str, Any]
    measurement: Mapping[str, Any] | None = None

    @cached_property
    def measured(self) -> Measurement | None:
        """The measurement, to be read."""
        return None if self.measurement is None else Measurement.from_dict(self.measurement)

    @property
    def seen(self) -> Measurement | None:
        """The measurement of a clip that can be seen or heard."""
        return self.measured if self.measured is not None and self.measured.is_decoded else None

    @cached_property
    def job(self) -> Job:
        """What the entry says, read as a rollout reads the clips that it judges."""
        assigned: dict[str, Any] = {"rollout_id": None, "step": None, "weight": 0, "unit": self.entry["key"]}
        variant: Variant = "baseline"  # which of the two does not matter to what became of it
        version = {**self.entry["version"], "variant": variant, "rollout": assigned}
        return cast(Job, job_of({**self.entry, "version": version}))  # None is for what nobody assigned

    @property
    def is_judged(self) -> bool:
        """Whether its job brought a clip or failed, which tells of its snapshot."""
        return self.job.outcome in (Outcome.SUCCEEDED, Outcome.FAILED)

    @property
    def has_ended(self) -> bool:
        """Whether anything can be said of it: it is judged, or a content policy stopped it."""
        return self.is_judged or self.job.outcome is Outcome.MODERATED

    @property
    def video_seconds(self) -> float | None:
        """Length of the clip that was asked for, else of the one that came; None where neither is known."""
        asked = (self.entry.get("usage") or {}).get("video_seconds")
        came = (self.entry.get("artifact") or {}).get("duration")
        return asked or came or None

    def timing(self, name: str) -> float | None:
        """Seconds on record of a clip that is there.

        :param name: of the entry's ``timing``.
        """
        return self.entry["timing"].get(name) if self.job.outcome is Outcome.SUCCEEDED else None

    def to_dict(self) -> dict[str, Any]:
        """This side for the document of a comparison."""
        return {
            "entry": self.entry["key"],
            **{name: self.entry.get(name) for name in _TOLD},
            "has_ended": self.has_ended,
            "served_model": self.entry["version"].get("served_model"),
            "measurement": None if self.measurement is None else dict(self.measurement),
        }


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One prompt, rendered once by each snapshot.

    :param key: names the prompt; its repeats have the same one.
    :param prompt: as it was written.
    :param request: what else was asked for, the same of both.
    :param repeat: from 1.
    :param baseline: what it came to on the baseline.
    :param candidate: what it came to on the candidate.
    """

    key: str
    prompt: str
    request: Mapping[str, Any]
    repeat: int
    baseline: Side
    candidate: Side

    @property
    def sides(self) -> dict[Variant, Side]:
        """Both, by name."""
        return {"baseline": self.baseline, "candidate": self.candidate}

    @property
    def is_of_one_size(self) -> bool:
        """Whether the pictures of both clips are as large as each other, as far as there are both."""
        sizes = {(side.seen.width, side.seen.height) for side in self.sides.values() if side.seen is not None}
        return len(sizes) < 2

    def to_dict(self) -> dict[str, Any]:
        """This pair for the document of a comparison."""
        return {
            "key": self.key,
            "repeat": self.repeat,
            "prompt": self.prompt,
            "request": dict(self.request),
            **{name: side.to_dict() for name, side in self.sides.items()},
        }
