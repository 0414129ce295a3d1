"""What is on record of a video: the sidecar beside it, or its entry in a result manifest."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from airflow_provider_sora.exceptions import ConfigurationError, OutputPathUnavailableError
from airflow_provider_sora.media.manifests import read_manifest
from airflow_provider_sora.media.storage import folder_at, names_below
from airflow_provider_sora.media.text_files import InputFile
from airflow_provider_sora.videos.arguments import shown

#: A sidecar has a few kilobytes; a storyboard with long prompts has more.
MAX_SIDECAR_BYTES: Final = 16 * 1024 * 1024

#: Keys of a manifest that a message about a wrong one names.
_NEAR_KEYS: Final = 4


def read_record(path: str, *, outcome: str = "Nothing was submitted") -> dict[str, Any]:
    """The sidecar of a video.

    :param path: of the sidecar, or of the video beside which it is: a local path or any object storage URL.
    :param outcome: what a message begins with.
    :raises ConfigurationError: it is not there, may not be read, or is no JSON object.
    :raises OutputPathUnavailableError: its store does not answer as it should; this may pass.
    """
    path = path.strip()
    place = f"{path.removesuffix('.mp4')}.json" if path.endswith(".mp4") else path
    file = InputFile(path=place, subject="the sidecar", example="clip.json", outcome=outcome, error=ConfigurationError)
    try:
        document = json.loads(file.text(limit=MAX_SIDECAR_BYTES))
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise file.refusal("is not a JSON object")
    return document


def find_entry(path: str, item: str) -> dict[str, Any]:
    """The entry of a clip in the result manifest of a batch.

    :param path: of the manifest: a local path or any object storage URL.
    :param item: key of the clip.
    :raises ConfigurationError: the manifest cannot be read, or has no such entry, or several.
    :raises OutputPathUnavailableError: its store does not answer as it should; this may pass.
    """
    found: list[dict[str, Any]] = []
    keys: set[str] = set()
    try:
        for entry in read_manifest(path.strip()):
            if (key := entry.get("key")) == item:
                found.append(entry)
            elif isinstance(key, str):
                keys.add(key)
    except OutputPathUnavailableError:
        raise
    except ConfigurationError as error:
        raise ConfigurationError(f"Nothing was submitted. {error}") from error
    if len(found) != 1:
        entries, near = (f"{len(found)} entries", "") if found else ("no entry", _near(str(item), keys))
        raise ConfigurationError(
            f"Nothing was submitted: the result manifest {path.strip()} has {entries} with the key {shown(item)}."
            f"{near} The keys are those of the batch's items, each line of the manifest "
            "has one; those of a comparison go on with the side and the number of the repeat, as item.candidate.1 does."
        )
    return found[0]


def records_at(
    place: str, *, outcome: str, on_fault: Callable[[ConfigurationError], None]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Everything on record at a place, each with the path of its file.

    :param place: path of a result manifest (``.jsonl``), of a sidecar or its video, or of a folder, of which all
        sidecars are read, however deep; hidden folders are left out.
    :param outcome: what a message begins with.
    :param on_fault: is told of each sidecar of a folder that is no sidecar, or may not be read; the others are read.
    :raises ConfigurationError: it is not there, or may not be read.
    :raises OutputPathUnavailableError: its store does not answer as it should; this may pass.
    """
    place = place.strip()
    if place.endswith((".jsonl", ".ndjson")):
        for entry in read_manifest(place):
            yield place, entry
    elif place.endswith((".json", ".mp4")):
        yield place, read_record(place, outcome=outcome)
    else:
        for sidecar in _sidecars_below(place, outcome):
            try:
                record = read_record(sidecar, outcome=outcome)
            except ConfigurationError as error:
                if error.retryable:
                    # Of the store, and so of all others too.
                    raise
                on_fault(error)
            else:
                yield sidecar, record


def _near(item: str, keys: Iterable[str]) -> str:
    """A sentence with keys that may have been meant; empty where none is near."""
    wanted, by_folded = item.strip().casefold(), {key.casefold(): key for key in sorted(keys)}
    holding = [folded for folded in by_folded if wanted in folded] if wanted else []
    near = sorted(holding, key=lambda folded: not folded.startswith(wanted))[:_NEAR_KEYS]
    near = near or difflib.get_close_matches(wanted, by_folded, n=_NEAR_KEYS)
    return f" Near it are {', '.join(shown(by_folded[folded]) for folded in near)}." if near else ""


def _sidecars_below(place: str, outcome: str) -> list[str]:
    folder = folder_at(place)
    below = names_below(folder, outcome=outcome)
    if not below:
        raise ConfigurationError(f"{outcome}: there is nothing below {folder}. See that the path is right.")
    sidecars = (name for name in sorted(below) if name.endswith(".json") and "/." not in f"/{name}")
    return [str(folder / name) for name in sidecars if f"{name.removesuffix('.json')}.mp4" in below]
