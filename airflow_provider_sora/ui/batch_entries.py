"""Items of a batch, as its page lists them: from its result manifest, or from its journal while it runs. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Self

from airflow_provider_sora.batches.summary import OTHER, ItemOutcome, name_of
from airflow_provider_sora.ui.plain_values import mapping, number, text
from airflow_provider_sora.videos.record import Phase

#: What every entry of a result manifest has.
_ENTRY_KEYS: Final = frozenset(
    {"key", "place", "outcome", "version", "request", "timing", "usage", "attempts", "error"}
)

#: Characters of a prompt in a list, and of a message that is kept of a running batch.
_LONGEST_PROMPT: Final = 160
_LONGEST_MESSAGE: Final = 300

#: Codes of jobs that were called back: their clips are rendered anew, or left, and did not fail.
_CALLED_BACK: Final = frozenset({"ended", "rolled_back"})


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One item of a batch.

    :param key: names the item.
    :param place: where it stood in the manifest of the batch.
    :param outcome: what became of it.
    :param prompt: its beginning; None where it has none.
    :param snapshot: the version that rendered it.
    :param variant: its arm of a rollout.
    :param seconds: from the submission to the finished clip.
    :param cost: in US dollars.
    :param code: of the error.
    :param message: of the error.
    :param has_file: whether it names a file.
    """

    key: str
    place: str
    outcome: ItemOutcome
    prompt: str | None
    snapshot: str | None
    variant: str | None
    seconds: float | None
    cost: float | None
    code: str | None
    message: str | None
    has_file: bool

    BADGES: ClassVar = {ItemOutcome.SUCCEEDED: "good", ItemOutcome.FAILED: "bad", ItemOutcome.INVALID: "bad"}

    @classmethod
    def read(cls, value: object) -> Self | None:
        """An entry of a result manifest, None where it is something else.

        :param value: of one line.
        """
        told = mapping(value)
        key, outcome = text(told.get("key")), text(told.get("outcome"))
        if key is None or outcome not in list(ItemOutcome) or not _ENTRY_KEYS.issubset(told):
            return None
        version, error = mapping(told["version"]), mapping(told["error"])
        return cls(
            key=key,
            place=str(told["place"]),
            outcome=ItemOutcome(outcome),
            prompt=_cut(text(mapping(told["request"]).get("prompt")), _LONGEST_PROMPT),
            snapshot=text(version.get("snapshot")),
            variant=text(version.get("variant")),
            seconds=number(mapping(told["timing"]).get("seconds")),
            cost=number(mapping(told["usage"]).get("estimated_cost_usd")),
            code=text(error.get("code")),
            message=text(error.get("message")),
            has_file=text(mapping(told.get("artifact")).get("uri")) is not None,
        )

    @classmethod
    def so_far(cls, value: object) -> Self | None:
        """An item whose clip is there, or failed, while its batch runs; None where neither is so.

        :param value: the latest line of the item in the journal of the batch.
        """
        entry = cls.read(entry_so_far(value))
        return None if entry is None else replace(entry, message=_cut(entry.message, _LONGEST_MESSAGE))

    @property
    def badge(self) -> str:
        """Class of the badge that shows its outcome."""
        return self.BADGES.get(self.outcome, "wait")

    @property
    def is_clip(self) -> bool:
        """Whether it was rendered, or was to be, and so has a page of its own."""
        return self.outcome in (ItemOutcome.SUCCEEDED, ItemOutcome.FAILED)


def entry_so_far(value: object) -> dict[str, Any] | None:
    """What a result manifest would say of an item whose clip is there, or failed, while its batch runs.

    :param value: the latest line of the item in the journal of the batch.
    :return: None where neither is so.
    """
    told = mapping(value)
    record = mapping(told.get("record"))
    result = mapping(record.get("result"))
    error = mapping(result.get("error"))
    has_ended = record.get("phase") == Phase.FINISHED and text(error.get("code")) not in _CALLED_BACK
    # Without either the server has rendered it, and its file is being fetched.
    if not has_ended or not (error or mapping(result.get("artifact"))):
        return None
    outcome = ItemOutcome.FAILED if error else ItemOutcome.SUCCEEDED
    return {**result, "key": told.get("key"), "place": "", "outcome": outcome.value}


@dataclass(frozen=True, kw_only=True)
class EntryFilter:
    """Which items are asked for; None for all.

    :param outcome: what became of them.
    :param variant: their arm of a rollout.
    :param code: of their error, as summaries name it: cut, and ``unknown`` where a failure has none.
    """

    outcome: ItemOutcome | None = None
    variant: str | None = None
    code: str | None = None

    def suits(self, entry: Entry) -> bool:
        """Whether an item is asked for.

        :param entry: of the item.
        """
        return (
            self.outcome in (None, entry.outcome)
            and self.variant in (None, entry.variant)
            and (self.code is None or self.code == _named(entry))
        )

    def __bool__(self) -> bool:
        return (self.outcome, self.variant, self.code) != (None, None, None)


def codes_of(errors: Iterable[str], wanted: EntryFilter) -> list[str]:
    """Codes that a list of items can be narrowed to.

    :param errors: codes that the summary names.
    :param wanted: the filter as it is; its code is among them.
    """
    named = [each for each in errors if each != OTHER]
    return named if wanted.code is None or wanted.code in named else [*named, wanted.code]


def _named(entry: Entry) -> str | None:
    has_failed = entry.outcome in (ItemOutcome.FAILED, ItemOutcome.INVALID)
    return name_of(entry.code) if has_failed or entry.code else None


def _cut(told: str | None, most: int) -> str | None:
    return told if told is None or len(told) <= most else f"{told[:most]} …"
