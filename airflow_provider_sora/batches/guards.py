"""What stops a batch in an orderly way, and what its limits may be. Pure: neither a clock nor a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from typing import Final, Literal

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.videos.arguments import number, shown, whole

#: Bounds of what can be asked for.
MOST_IN_FLIGHT: Final = 1000
MOST_ITEM_RETRIES: Final = 10

#: The pause before an item is submitted again, in seconds: doubled with each failure up to the longest.
FIRST_RETRY_PAUSE: Final = 2.0
LONGEST_RETRY_PAUSE: Final = 120.0

_MILLION = 1_000_000


class Stop(StrEnum):
    """Why a batch submits nothing more."""

    COST = "max_cost_usd"
    """The next clip would cost more than is left."""
    QUOTA = "max_quota_units"
    """The next clip would take more quota than is left."""
    FAILURES = "max_failure_rate"
    """Too many of its items failed."""
    DEADLINE = "deadline"
    """Its time is over."""
    ENDED = "ended"
    """Its task was told to end, by a person or a worker's shutdown."""
    TIMEOUT = "execution_timeout"
    """The time of this attempt is nearly over."""
    OUTPUT = "output_path"
    """Files cannot be written any more."""
    ACCOUNT = "account"
    """The server refuses the key or the model, or the account's quota or balance is used up."""
    SERVER = "server"
    """The server has been out of reach for too long."""
    LEDGER = "ledger"
    """Airflow has not told for too long how the rollout stands."""

    @property
    def finishes_jobs(self) -> bool:
        """Whether jobs in flight, which are paid for, are waited for and kept."""
        return self not in (Stop.ENDED, Stop.TIMEOUT, Stop.OUTPUT, Stop.SERVER)

    @property
    def is_limit(self) -> bool:
        """Whether it is one that the batch's author set, by an argument of this name."""
        return self in (Stop.COST, Stop.QUOTA, Stop.FAILURES, Stop.DEADLINE)


@dataclass(frozen=True, kw_only=True)
class Price:
    """What one clip, or several, take.

    :param cost_usd: US dollars by the catalogue's prices, None where not known.
    :param quota_units: units of quota, None where not known.
    """

    cost_usd: float | None
    quota_units: float | None

    def plus(self, other: Price) -> Price:
        """Both together; what is not known of one counts nothing.

        :param other: of other clips.
        """
        return Price(
            cost_usd=_sum(self.cost_usd, other.cost_usd), quota_units=_sum(self.quota_units, other.quota_units)
        )


class Budget:
    """The account of what a batch was or may be billed, against its limits.

    Amounts are kept as whole millionths: a thousand clips of 0.1 USD fit into 100 USD.

    :param max_cost_usd: the most US dollars, None for no limit.
    :param max_quota_units: the most units of quota, None for no limit.
    """

    def __init__(self, max_cost_usd: float | None, max_quota_units: float | None) -> None:
        self._cost = _Account(
            stop=Stop.COST,
            limit=max_cost_usd,
            amount_of=lambda price: price.cost_usd,
            verb="cost",
            unit="USD",
            places=2,
            entry="price_per_second",
        )
        self._quota = _Account(
            stop=Stop.QUOTA,
            limit=max_quota_units,
            amount_of=lambda price: price.quota_units,
            verb="take",
            unit="units of quota",
            places=0,
            entry="quota_units_per_10s",
        )

    @property
    def committed(self) -> Price:
        """What was or may be billed so far; None where no clip with a known price was committed."""
        return Price(cost_usd=self._cost.total, quota_units=self._quota.total)

    def check_plan(self, prices: Sequence[Price], *, spent: Price, on_limit: Literal["fail", "partial"]) -> list[str]:
        """Whether the clips fit, before anything is paid for. The account stays as it is.

        :param prices: of the clips to be submitted, in their order.
        :param spent: what earlier attempts at the batch were or may be billed; what is not known counts nothing.
        :param on_limit: where not all clips fit, ``fail`` now, or ``partial``: make as many as fit.
        :return: a sentence for the log for each limit that the clips go over; only with ``partial``.
        :raises ConfigurationError: the clips do not fit; or, in both modes, a price that a limit needs is not known, or
            not even the cheapest clip is within the limit.
        """
        accounts = [self._cost, self._quota] if prices else []
        nothing = "Nothing more was submitted" if spent.cost_usd or spent.quota_units else "Nothing was submitted"
        if faults := [fault for account in accounts if (fault := account.unusable(prices))]:
            raise ConfigurationError(f"{nothing}. {' '.join(faults)}")
        excesses = {account.stop: told for account in accounts if (told := account.excess(prices, spent=spent))}
        if excesses and on_limit == "fail":
            raise ConfigurationError(
                f"{' '.join(excesses.values())} {nothing}. Raise {' and '.join(excesses)}, take fewer or cheaper "
                'clips, or set on_limit="partial" to make as many as fit.'
            )
        return [f"{told} The others will be left." for told in excesses.values()]

    def admits(self, price: Price) -> Stop | None:
        """Whether one more clip fits beside what is committed.

        :param price: of the clip; one that is not known fits under no limit.
        :return: the limit that it would go over, None where it fits.
        """
        return next((account.stop for account in (self._cost, self._quota) if not account.admits(price)), None)

    def commit(self, price: Price) -> None:
        """A clip is about to be submitted, or was by an earlier attempt.

        :param price: of the clip.
        """
        for account in (self._cost, self._quota):
            account.add(price, sign=1)

    def release(self, price: Price) -> None:
        """A clip that was committed is not billed: it was not taken, or its job failed, which most servers give free.

        :param price: of the clip.
        """
        for account in (self._cost, self._quota):
            account.add(price, sign=-1)


class FailureGuard:
    """Stops a batch of which too much fails.

    It looks at the items *begun*, not at those that ended: failures come first, while good clips still render, so a
    share of the ended ones looks worse than the batch is. A share of the begun ones never overestimates. An item counts
    from its first failure until it succeeds: one that is being submitted again is not rescued yet.

    :param max_failure_rate: the largest share of failed items that is borne, 0 to 1; None for no limit.
    :param min_sample: items that must have begun before it judges.
    """

    def __init__(self, max_failure_rate: float | None, min_sample: int = 20) -> None:
        self._max_failure_rate = max_failure_rate
        self._min_sample = min_sample
        self._begun: set[str] = set()
        self._failed: set[str] = set()

    def begun(self, key: str) -> None:
        """An item was submitted, for the first time or again.

        :param key: of the item.
        """
        self._begun.add(key)

    def failed(self, key: str) -> None:
        """The latest job of an item failed.

        :param key: of the item.
        """
        self._failed.add(key)

    def succeeded(self, key: str) -> None:
        """An item has its clip.

        :param key: of the item.
        """
        self._failed.discard(key)

    @property
    def trips(self) -> str | None:
        """A sentence where the share is above the limit, None where the batch may go on."""
        begun, failed = len(self._begun), len(self._failed)
        if self._max_failure_rate is None or begun < self._min_sample or failed / begun <= self._max_failure_rate:
            return None
        return (
            f"{failed:,} of the {begun:,} items that were begun failed; max_failure_rate is {self._max_failure_rate:g}."
        )


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of a batch, read and checked. None is no limit.

    :param max_in_flight: jobs that are with the server at the same time, 1 to 1,000.
    :param requests_per_minute: requests of all kinds, above 0.
    :param item_retries: times that an item is submitted again after a failure, 0 to 10.
    :param max_cost_usd: US dollars for the batch by the catalogue's prices, above 0.
    :param max_quota_units: units of quota for the batch, above 0.
    :param max_failure_rate: share of the begun items that may fail, from 0 to below 1.
    :param failure_sample: items that must have begun before this share is judged, 1 or more.
    :param min_success_rate: share of the ended items that must have succeeded for the batch to succeed, 0 to 1.
    :param deadline_seconds: time for the batch, above 0.
    """

    max_in_flight: int
    requests_per_minute: float | None
    item_retries: int
    max_cost_usd: float | None
    max_quota_units: float | None
    max_failure_rate: float | None
    failure_sample: int
    min_success_rate: float
    deadline_seconds: float | None


def check_limits(
    *,
    max_in_flight: object,
    requests_per_minute: object,
    item_retries: object,
    max_cost_usd: object,
    max_quota_units: object,
    max_failure_rate: object,
    failure_sample: object,
    min_success_rate: object,
    deadline_seconds: object,
) -> Limits:
    """Read the limits as a DAG's author or a template wrote them: numbers, or their text. The parameters are those of
    :class:`Limits`; None or an empty text is no limit, where there may be none.

    :raises ConfigurationError: with all that is wrong with them.
    """
    problems: list[str] = []
    limits = Limits(
        max_in_flight=_count(max_in_flight, "max_in_flight", problems, least=1, most=MOST_IN_FLIGHT),
        requests_per_minute=_above_zero(requests_per_minute, "requests_per_minute", problems),
        item_retries=_count(item_retries, "item_retries", problems, least=0, most=MOST_ITEM_RETRIES),
        max_cost_usd=_above_zero(max_cost_usd, "max_cost_usd", problems),
        max_quota_units=_above_zero(max_quota_units, "max_quota_units", problems),
        max_failure_rate=None if _is_absent(max_failure_rate) else _failure_rate(max_failure_rate, problems),
        failure_sample=_count(failure_sample, "failure_sample", problems, least=1, most=None),
        min_success_rate=_success_rate(min_success_rate, problems),
        deadline_seconds=_above_zero(deadline_seconds, "deadline", problems),
    )
    if problems:
        raise ConfigurationError(f"Nothing was submitted: {'; '.join(problems)}.")
    return limits


def check_success_rate(value: object) -> float:
    """Read ``min_success_rate`` alone.

    :param value: a number from 0 to 1, or its text.
    :raises ConfigurationError: it is something else.
    """
    problems: list[str] = []
    rate = _success_rate(value, problems)
    if problems:
        raise ConfigurationError(f"Nothing was written: {problems[0]}.")
    return rate


def retry_pause(failures: int, *, jitter: float) -> float:
    """The pause before an item is submitted again: 2 s, doubled up to 120 s, of which the upper half is left to chance.

    Items that failed together do not come back together then.

    :param failures: of the item so far, 1 or more.
    :param jitter: a random number from 0 to 1.
    :return: seconds.
    """
    longest = min(FIRST_RETRY_PAUSE * 2.0 ** min(failures - 1, 16), LONGEST_RETRY_PAUSE)
    return longest * (1 + jitter) / 2


class _Account:
    """One kind of amount, in whole millionths.

    :param stop: names its limit.
    :param limit: the most, None for no limit.
    :param amount_of: what a clip takes, None where not known.
    :param verb: what a batch does to the amount.
    :param unit: of the amount.
    :param places: decimals that people expect of it.
    :param entry: the key of a catalogue entry that makes it known.
    """

    def __init__(
        self,
        *,
        stop: Stop,
        limit: float | None,
        amount_of: Callable[[Price], float | None],
        verb: str,
        unit: str,
        places: int,
        entry: str,
    ) -> None:
        self.stop = stop
        self._limit = _millionths(limit)
        self._amount_of = amount_of
        self._verb = verb
        self._unit = unit
        self._places = places
        self._entry = entry
        self._taken: int | None = None

    @property
    def total(self) -> float | None:
        return None if self._taken is None else self._taken / _MILLION

    def add(self, price: Price, *, sign: Literal[1, -1]) -> None:
        if (amount := self._amount(price)) is not None:
            self._taken = (self._taken or 0) + sign * amount

    def admits(self, price: Price) -> bool:
        amount = self._amount(price)
        return self._limit is None or (amount is not None and (self._taken or 0) + amount <= self._limit)

    def unusable(self, prices: Sequence[Price]) -> str | None:
        """Why the limit makes no sense for these clips, None where it does."""
        if self._limit is None:
            return None
        known = [amount for price in prices if (amount := self._amount(price)) is not None]
        if unknown := len(prices) - len(known):
            return (
                f"{self._told_limit}, and what {unknown:,} of the batch's {len(prices):,} clips {self._verb} is not "
                f"known. Add `{self._entry}` to the catalogue entry of their snapshot, or leave {self.stop} away."
            )
        if min(known) > self._limit:
            return (
                f"{self._told_limit}, and the cheapest of the batch's {len(prices):,} clips {self._verb}s "
                f"{self._written(min(known))}. Raise {self.stop}, or leave it away."
            )
        return None

    def excess(self, prices: Sequence[Price], *, spent: Price) -> str | None:
        """How the clips go over the limit, None where they fit."""
        if self._limit is None:
            return None
        before = self._amount(spent) or 0
        totals = list(accumulate((self._amount(price) or 0 for price in prices), initial=before))
        if totals[-1] <= self._limit:
            return None
        fitting = sum(total <= self._limit for total in totals[1:])
        earlier = f" ({self._written(before)} of it by earlier attempts)" if before else ""
        return (
            f"The batch would {self._verb} about {self._written(totals[-1])}{earlier}, {self._told_limit}: about "
            f"{fitting:,} of its {len(prices):,} clips fit."
        )

    @property
    def _told_limit(self) -> str:
        return f"{self.stop} is {_decimal(self._limit or 0, places=self._places)}"

    def _amount(self, price: Price) -> int | None:
        return _millionths(self._amount_of(price))

    def _written(self, amount: int) -> str:
        return f"{_decimal(amount, places=self._places)} {self._unit}"


def _sum(one: float | None, other: float | None) -> float | None:
    return other if one is None else one + (other or 0.0)


def _millionths(amount: float | None) -> int | None:
    return None if amount is None else round(amount * _MILLION)


def _decimal(millionths: int, *, places: int) -> str:
    """An amount with at least so many decimals, and none beyond that is not needed."""
    units, _, decimals = f"{millionths / _MILLION:,.6f}".partition(".")
    decimals = decimals.rstrip("0").ljust(places, "0")
    return f"{units}.{decimals}" if decimals else units


def _is_absent(value: object) -> bool:
    return value is None or value == ""


def _count(value: object, name: str, problems: list[str], *, least: int, most: int | None) -> int:
    told = whole(value, name, problems)
    if told is not None and (told < least or (most is not None and told > most)):
        bounds = f"{least} or more" if most is None else f"from {least} to {most}"
        problems.append(f"{name} must be {bounds}, not {shown(value)}")
    return least if told is None else told


def _above_zero(value: object, name: str, problems: list[str]) -> float | None:
    told = None if _is_absent(value) else number(value, name, problems)
    if told is not None and told <= 0:
        problems.append(f"{name} must be above zero, not {shown(value)}")
    return told


def _failure_rate(value: object, problems: list[str]) -> float | None:
    told = number(value, "max_failure_rate", problems)
    if told is not None and not 0 <= told < 1:
        problems.append(f"max_failure_rate must be from 0 to below 1, not {shown(value)}")
    return told


def _success_rate(value: object, problems: list[str]) -> float:
    told = number(value, "min_success_rate", problems)
    if told is not None and not 0 <= told <= 1:
        problems.append(f"min_success_rate must be from 0 to 1, not {shown(value)}")
    return told or 0.0
