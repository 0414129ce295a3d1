"""Which clips are asked for: as a form and an address have it, and as clips are looked at. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final, Self
from urllib.parse import parse_qsl, urlencode

from pydantic import BaseModel, Field, ValidationError

from airflow_provider_sora.ui.clips import Clip, Status

#: Clips on one page, as one may choose.
PAGE_SIZES: Final = (24, 60, 120)

#: Words that are looked for at a time: each one costs a look at every prompt.
_MOST_WORDS: Final = 8

_Text = Annotated[str, Field(max_length=250)]


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which clips are asked for; None for all.

    :param words: that stand in what was asked to be seen, all of them, in whatever case.
    :param dag_id: of this DAG.
    :param run_id: of this run.
    :param task_id: of this task.
    :param rollout: whose version the rollout of this name chose.
    :param snapshot: rendered by this one.
    :param variant: of this arm of a rollout.
    :param status: that came to this.
    :param code: that failed with this error code.
    :param since: whose version was chosen at or after this moment.
    :param until: whose version was chosen before this moment.
    """

    words: tuple[str, ...] = ()
    dag_id: str | None = None
    run_id: str | None = None
    task_id: str | None = None
    rollout: str | None = None
    snapshot: str | None = None
    variant: str | None = None
    status: Status | None = None
    code: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def are_deep(self) -> bool:
        """Whether what a task left has to be looked into: no index helps to find what suits."""
        return bool(self.words) or {self.rollout, self.snapshot, self.variant, self.status, self.code} != {None}

    def suits(self, clip: Clip) -> bool:
        """Whether a clip is asked for, by what only its own record tells.

        :param clip: of a task or an item.
        """
        return (
            self.rollout in (None, clip.rollout)
            and self.snapshot in (None, clip.snapshot)
            and self.variant in (None, clip.version.get("variant"))
            and self.status in (None, clip.status)
            and self.code in (None, clip.code)
            and self._has_words(clip)
        )

    def _has_words(self, clip: Clip) -> bool:
        if not self.words:
            return True
        asked = " ".join(text for _, text in clip.asked).casefold()
        return all(word.casefold() in asked for word in self.words)


class Chosen(BaseModel):
    """Filters and the size of a page, as a form and an address have them: texts, empty where nothing is chosen."""

    q: _Text = ""
    dag_id: _Text = ""
    run_id: _Text = ""
    task_id: _Text = ""
    rollout: _Text = ""
    snapshot: _Text = ""
    variant: _Text = ""
    status: _Text = ""
    code: _Text = ""
    since: _Text = ""
    until: _Text = ""
    size: _Text = ""

    @classmethod
    def of(cls, query: str) -> Self:
        """What :attr:`query` gave.

        :param query: from an address; where it is none, nothing is chosen.
        """
        try:
            # Who made it up may have given a thousand names.
            told = dict(parse_qsl(query, max_num_fields=len(cls.model_fields)))
            # PostgreSQL takes no NUL.
            return cls() if any("\0" in value for value in told.values()) else cls.model_validate(told)
        except (ValidationError, ValueError):
            return cls()

    @property
    def given(self) -> dict[str, str]:
        """What is chosen, by its name."""
        return {name: value for name, value in self.model_dump().items() if value}

    @property
    def query(self) -> str:
        """What is chosen, for an address."""
        return urlencode(self.given)

    @property
    def are_filters(self) -> bool:
        """Whether anything is left out."""
        return bool(self.given.keys() - {"size"})

    @property
    def page_size(self) -> int:
        """Clips on one page."""
        return next((each for each in PAGE_SIZES if str(each) == self.size), PAGE_SIZES[0])

    @property
    def filters(self) -> Filters:
        """Which clips these are. What cannot be read counts as not chosen."""
        return Filters(
            words=tuple(self.q.split()[:_MOST_WORDS]),
            dag_id=self.dag_id or None,
            run_id=self.run_id or None,
            task_id=self.task_id or None,
            rollout=self.rollout or None,
            snapshot=self.snapshot or None,
            variant=self.variant or None,
            status=Status(self.status) if self.status in set(Status) else None,
            code=self.code or None,
            since=_midnight(self.since),
            until=_midnight(self.until, days_later=1),
        )


def _midnight(text: str, *, days_later: int = 0) -> datetime | None:
    """The beginning of a day, or of one after it; None where the calendar has no such day."""
    try:
        day = date.fromisoformat(text) + timedelta(days=days_later)
    except (ValueError, OverflowError):
        return None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
