"""Which bytes of a file an answer has, by RFC 9110. Pure."""

from __future__ import annotations

import re
import sys
from typing import Final, NamedTuple

_RANGE: Final = re.compile(r"([0-9]*)-([0-9]*)")

#: Of a position: a longer number is beyond every file, and Python refuses to read one of thousands.
_MOST_DIGITS: Final = 18


class NotSatisfiableError(Exception):
    """The range lies outside of the file: the answer is 416."""


class Part(NamedTuple):
    """Bytes of a file.

    :param first: position of the first one, from 0.
    :param length: how many; at least 1.
    """

    first: int
    length: int

    def content_range(self, size: int) -> str:
        """The header ``Content-Range`` of an answer that has only these.

        :param size: of the whole file.
        """
        return f"bytes {self.first}-{self.first + self.length - 1}/{size}"


def etag_of(sha256: str) -> str:
    """The strong validator of a file.

    :param sha256: ``sha256:`` and 64 hexadecimal digits.
    """
    return f'"{sha256.removeprefix("sha256:")}"'


def is_known(if_none_match: str | None, *, etag: str) -> bool:
    """Whether the client has the file already: the answer is 304 (RFC 9110, 13.1.2, by weak comparison).

    :param if_none_match: the header, None without it.
    :param etag: of the file.
    """
    known = [each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")]
    return "*" in known or etag in known


def requested_part(range_header: str | None, *, size: int, etag: str, if_range: str | None = None) -> Part | None:
    """The bytes that a GET asks for; None for the whole file, answered with 200.

    The whole file is the answer to a range that is malformed, of another unit, or of several parts: RFC 9110, 14.2
    lets a server ignore any ``Range``, and players ask for one part at a time. It is the answer too where ``If-Range``
    names another file, or a date, which tells less than the validator that each answer has.

    :param range_header: the header ``Range``, None without it.
    :param size: of the file.
    :param etag: of the file.
    :param if_range: the header ``If-Range``, None without it.
    :raises NotSatisfiableError: no byte of the file is in the range.
    """
    if range_header is None or (if_range is not None and if_range.strip() != etag):
        return None
    unit, _, ranges = range_header.partition("=")
    # An element of a list may be empty (RFC 9110, 5.6.1).
    parts = [part for each in ranges.split(",") if (part := each.strip(" \t"))]
    matched = _RANGE.fullmatch(parts[0]) if unit.strip().lower() == "bytes" and len(parts) == 1 else None
    if matched is None or matched[0] == "-":
        return None
    first, last = (None if digits == "" else _number(digits) for digits in matched.groups())
    return _suffix(last or 0, size) if first is None else _from(first, last, size)


def _from(first: int, last: int | None, size: int) -> Part | None:
    if last is not None and last < first:
        return None
    if first >= size:
        raise NotSatisfiableError
    end = size if last is None else min(last + 1, size)
    return Part(first, end - first)


def _suffix(count: int, size: int) -> Part | None:
    if count == 0:
        raise NotSatisfiableError
    # Of an empty file no part can be named.
    return Part(max(size - count, 0), min(count, size)) if size else None


def _number(digits: str) -> int:
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= _MOST_DIGITS else sys.maxsize
