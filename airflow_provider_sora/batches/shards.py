"""Parts of a batch for tasks that run side by side."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.videos.arguments import shown, whole

#: Airflow maps a task over at most 1,024 values unless it is told otherwise.
MAX_SHARDS = 1000


@dataclass(frozen=True, kw_only=True)
class Shard:
    """The part of a batch that one task renders.

    :param index: which part, from 0.
    :param of: how many there are.
    """

    index: int = 0
    of: int = 1

    @classmethod
    def parse(cls, value: Mapping[str, object] | None) -> Shard:
        """Read an operator's argument.

        :param value: one of the values of :func:`shard`, in which Jinja may have made texts of the numbers; None for
            the whole batch.
        :raises ConfigurationError: it is something else.
        """
        if value is None:
            return cls()
        if isinstance(value, Mapping) and set(value) == {"index", "of"}:
            problems: list[str] = []
            index, of = whole(value["index"], "index", problems), whole(value["of"], "of", problems)
            if index is not None and of is not None and 0 <= index < of <= MAX_SHARDS:
                return cls(index=index, of=of)
        raise ConfigurationError(
            f"Nothing was submitted: shard is {shown(value)}, and must be one of the values of shard(n), such as "
            '{"index": 0, "of": 4}: use .expand(shard=shard(4)).'
        )

    def takes(self, key: str) -> bool:
        """Whether an item belongs to this part. It does so whatever other items there are, on each machine.

        :param key: of the item.
        """
        digest = hashlib.sha256(key.encode(errors="surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") % self.of == self.index

    def to_dict(self) -> dict[str, int]:
        """Plain values, for :meth:`parse`."""
        return {"index": self.index, "of": self.of}


def shard(n: int) -> list[dict[str, int]]:
    """The parts of a batch, one for each of ``n`` tasks: ``.expand(shard=shard(4))``.

    An item belongs to a part by its key alone, so that a manifest that gains rows leaves every other item where it was.

    :param n: how many, from 1 to 1,000.
    :raises ConfigurationError: another number.
    """
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= MAX_SHARDS:
        raise ConfigurationError(f"shard(n) takes a whole number from 1 to {MAX_SHARDS:,}, not {shown(n)}.")
    return [Shard(index=index, of=n).to_dict() for index in range(n)]
