"""What the clips of a comparison look like: measured once, several at a time, and little of it held."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_sora.batches.progress import KEEPING_PAUSE
from airflow_provider_sora.evaluation.suite import SIDES
from airflow_provider_sora.media.inspection import Inspection, inspect
from airflow_provider_sora.reports.pictures import PairPictures, pair_name
from airflow_provider_sora.reports.readings import by_difference, criteria_of

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

log = logging.getLogger(__name__)

#: Clips that are looked into at the same time; each thread that decodes holds memory from then on.
_AT_ONCE = min(4, os.cpu_count() or 1)

#: Seconds between two lines of the log.
_LOGGING_PAUSE = 30.0


@dataclass(frozen=True, kw_only=True)
class _Known:
    """A look without its pictures, of which a thousand clips would have more than a worker has memory."""

    measurement: dict[str, Any]
    has_sheet: bool
    has_preview: bool


class Looks:
    """A look at each clip that is there. Clips of the same bytes, of which the same was asked, share one.

    :param folder: where looks are kept.
    :param entries: of the result manifest.
    :param tell: is given how far the measuring is, every few seconds.
    :raises DownloadError: a clip cannot be read, or what was found cannot be kept.
    """

    def __init__(
        self, folder: ObjectStoragePath, entries: Sequence[Mapping[str, Any]], *, tell: Callable[[str], None]
    ) -> None:
        self._folder = folder
        self._tell = tell
        self._clips = {entry["key"]: entry for entry in entries if entry["artifact"] is not None}
        first = {_what(entry): entry for entry in reversed(self._clips.values())}
        self._known = dict(zip(first, self._taken(list(first.values())), strict=True))

    def measurement(self, entry: Mapping[str, Any]) -> dict[str, Any] | None:
        """What was measured of a clip; None where there is none.

        :param entry: of the manifest.
        """
        return self._known[_what(entry)].measurement if entry["key"] in self._clips else None

    def pictures(self, document: Mapping[str, Any], *, room: int) -> dict[str, PairPictures]:
        """The pictures for a report, read again from where they are kept: those of the pairs that differ most.

        :param document: of the comparison.
        :param room: bytes that fit into the report; no more are held of sheets, and no more of previews.
        """
        sheets = previews = 0
        found: dict[str, PairPictures] = {}
        for place in by_difference(document["pairs"], criteria_of(document)):
            pair = document["pairs"][place]
            name, keys = pair_name(pair["key"], pair["repeat"]), [pair[side]["entry"] for side in SIDES]
            known = [self._known[_what(self._clips[key])] for key in keys if key in self._clips]
            has_sheets, has_previews = any(each.has_sheet for each in known), any(each.has_preview for each in known)
            if sheets > room:
                found[name] = PairPictures(has_more_sheets=has_sheets, has_more_previews=has_previews)
                continue
            baseline, candidate = map(self._again, keys)
            sheets += sum(len(look.sheet or b"") for look in (baseline, candidate))
            previews += sum(len(look.preview or b"") for look in (baseline, candidate))
            has_room = previews <= room
            found[name] = PairPictures(
                baseline_sheet=baseline.sheet,
                candidate_sheet=candidate.sheet,
                baseline_preview=baseline.preview if has_room else None,
                candidate_preview=candidate.preview if has_room else None,
                has_more_previews=has_previews and not has_room,
            )
        return found

    def _again(self, key: str) -> Inspection:
        entry = self._clips.get(key)
        return Inspection(measurement={}, sheet=None, preview=None) if entry is None else _look(entry, self._folder)

    def _taken(self, entries: Sequence[Mapping[str, Any]]) -> Iterator[_Known]:
        logged_at = told_at = time.monotonic()
        if entries:
            log.info("Measuring %s clips.", f"{len(entries):,}")
            self._tell(f"measuring {len(entries):,} clips")
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="measure") as pool:
            for done, look in enumerate(pool.map(lambda entry: _measured(entry, self._folder), entries), start=1):
                yield look
                if (now := time.monotonic()) - told_at >= KEEPING_PAUSE:
                    told_at = now
                    self._tell(f"{done:,} of {len(entries):,} clips are measured")
                if now - logged_at >= _LOGGING_PAUSE:
                    logged_at = now
                    log.info("%s of %s clips are measured.", f"{done:,}", f"{len(entries):,}")


def _measured(entry: Mapping[str, Any], folder: ObjectStoragePath) -> _Known:
    look = _look(entry, folder)
    return _Known(measurement=look.measurement, has_sheet=look.sheet is not None, has_preview=look.preview is not None)


def _look(entry: Mapping[str, Any], folder: ObjectStoragePath) -> Inspection:
    return inspect(entry["artifact"], folder=folder, **_asked(entry))


def _asked(entry: Mapping[str, Any]) -> dict[str, Any]:
    request = entry["request"]
    scenes = (request.get("storyboard") or {}).get("scenes") or ()
    cuts = tuple(float(scene["start"]) for scene in scenes if scene["start"])
    return {"seconds": request["seconds"], "size": request["size"], "cuts": cuts}


def _what(entry: Mapping[str, Any]) -> str:
    return json.dumps([entry["artifact"]["sha256"], _asked(entry)])
