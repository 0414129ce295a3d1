"""A look at a kept clip: what it measures, and small pictures of it. What was found is kept, since it takes time."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_sora.exceptions import DownloadError
from airflow_provider_sora.media.contact_sheet import contact_sheet, preview
from airflow_provider_sora.media.filters import filters_version
from airflow_provider_sora.media.local_copies import at_hand
from airflow_provider_sora.media.measure import measure
from airflow_provider_sora.media.storage import describe, folder_at, open_to_read, store_bytes

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

log = logging.getLogger(__name__)

#: The version of what is kept: another one is made anew.
FORMAT = 1

_CLIPS_ARE_SAFE = (
    "The videos are where they were kept: nothing has to be rendered or paid again. See that the place can be read and "
    "written, and clear the task: it goes on with the measuring."
)


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What was seen of a clip.

    :param measurement: of :func:`~airflow_provider_sora.media.measure.measure`, as plain values.
    :param sheet: frames side by side, as an image file; None where there are none.
    :param preview: a small MP4; None where it would be too large.
    """

    measurement: dict[str, Any]
    sheet: bytes | None
    preview: bytes | None


def inspect(
    artifact: Mapping[str, Any],
    *,
    folder: ObjectStoragePath,
    seconds: float | None,
    size: str | None,
    audio: bool | None = None,
    cuts: Sequence[float] = (),
) -> Inspection:
    """Look at a clip, or take what an earlier look at the same bytes found.

    :param artifact: the part of a result that tells where the file is and what its hash is.
    :param folder: where looks are kept.
    :param seconds: the length that was asked for, None for any.
    :param size: the size that was asked for, None for any.
    :param audio: whether sound was asked for, None for either.
    :param cuts: where the storyboard has its cuts, in seconds.
    :raises DownloadError: the file cannot be read, or what was found cannot be kept.
    """
    asked = {"seconds": seconds, "size": size, "audio": audio, "cuts": list(cuts)}
    name = str(artifact["sha256"]).removeprefix("sha256:")
    record, sheet, small = (folder / f"{name}.{suffix}" for suffix in ("json", "jpg", "mp4"))
    head = {"format": FORMAT, "asked": asked, "measured_by": filters_version()}
    with suppress(FileNotFoundError, KeyError, TypeError, ValueError):
        kept = json.loads(_read(record))
        if {key: kept.get(key) for key in head} == head:
            return Inspection(
                measurement=kept["measurement"],
                sheet=_read(sheet) if kept["has_sheet"] else None,
                preview=_read(small) if kept["has_preview"] else None,
            )
    with tempfile.TemporaryDirectory(prefix="sora-") as place_for_copies:
        clip = folder_at(artifact["uri"])
        path = at_hand(clip, Path(place_for_copies), subject="The clip", advice=_CLIPS_ARE_SAFE)
        found = _looked_at(path, seconds=seconds, size=size, audio=audio, cuts=cuts)
    for target, content, media_type in ((sheet, found.sheet, "image/jpeg"), (small, found.preview, "video/mp4")):
        if content is not None:
            store_bytes(target, content, media_type=media_type, consequence=_CLIPS_ARE_SAFE)
    # Last: it says that the others are there.
    told = {"measurement": found.measurement, "has_sheet": found.sheet is not None}
    text = json.dumps({**head, **told, "has_preview": found.preview is not None})
    store_bytes(record, text.encode(), media_type="application/json", consequence=_CLIPS_ARE_SAFE)
    return found


def _looked_at(
    path: Path, *, seconds: float | None, size: str | None, audio: bool | None, cuts: Sequence[float]
) -> Inspection:
    measured = measure(path, seconds=seconds, size=size, audio=audio, cuts=cuts)
    return Inspection(measurement=measured.to_dict(), sheet=_drawn(contact_sheet, path), preview=_drawn(preview, path))


def _drawn(draw: Callable[[Path], bytes | None], path: Path) -> bytes | None:
    from airflow_provider_sora.media.probe import UnreadableMediaError

    try:
        return draw(path)
    except UnreadableMediaError as error:
        # The measurement says so too, as a fault of the clip.
        log.warning("There is no picture of %s: %s", path.name, error)
        return None


def _read(source: ObjectStoragePath) -> bytes:
    try:
        with open_to_read(source) as file:
            return file.read()
    except FileNotFoundError:
        raise
    except Exception as error:
        raise DownloadError(f"{source} could not be read: {describe(error)}. {_CLIPS_ARE_SAFE}") from error
