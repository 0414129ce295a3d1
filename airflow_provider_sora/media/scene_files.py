"""Scenes of a storyboard from a file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

from airflow_provider_sora.exceptions import InvalidRequestError
from airflow_provider_sora.media.text_files import InputFile

#: Larger files are no storyboards.
MAX_FILE_BYTES = 1024 * 1024


class _MalformedFile(ValueError):
    def __init__(self, lineno: int | None) -> None:
        super().__init__("malformed")
        self.lineno = lineno


def read_scenes(path: str) -> Any:
    """The scenes that a file holds, to be checked by :meth:`~airflow_provider_sora.videos.storyboard.Storyboard.parse`.

    :param path: a local path or any object storage URL that Airflow reads, ending in ``.json``, ``.yaml``, ``.yml`` or
        ``.csv``; a CSV file has the columns ``start``, ``end`` and ``prompt``.
    :raises InvalidRequestError: it is not there, may not be read, is too large, or is malformed.
    :raises OutputPathUnavailableError: its store does not answer as it should; this may pass.
    """
    file = InputFile(path=path, subject="scenes", example="scenes.json")
    readers: dict[str, Callable[[str], Any]] = {"json": json.loads, "yaml": _yaml, "yml": _yaml, "csv": _csv}
    read = readers.get(file.suffix)
    if read is None:
        raise InvalidRequestError(
            f"Nothing was submitted: scenes are read from a .json, .yaml, .yml or .csv file, not from {file.shown!r}."
        )
    text = file.text(limit=MAX_FILE_BYTES)
    try:
        return read(text)
    except InvalidRequestError:
        raise
    except (ValueError, csv.Error, RecursionError) as error:
        # Only where the fault is: the message of a parser may quote a file that nobody meant to be shown.
        line = getattr(error, "lineno", None)
        where = f", near line {line}" if line is not None else ""
        advice = " Put a prompt with commas into quotation marks." if file.suffix == "csv" else ""
        raise InvalidRequestError(
            f"Nothing was submitted: {file.shown} is not a {file.suffix.upper()} file{where}.{advice}"
        ) from None


def _yaml(text: str) -> Any:
    import yaml  # type: ignore[import-untyped]

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise _MalformedFile(mark.line + 1 if mark else None) from None


def _csv(text: str) -> list[dict[str, str]]:
    rows = csv.DictReader(io.StringIO(text), strict=True)
    columns = [str(name).strip().lower() for name in rows.fieldnames or ()]
    if columns and not {"start", "end", "prompt"}.issubset(columns):
        raise InvalidRequestError(
            f"Nothing was submitted: the CSV file has the columns {', '.join(columns)}, and needs start, end, prompt, "
            "separated by commas."
        )
    scenes = []
    for row in rows:
        if None in row:
            # What is behind a comma too many would be cut off in silence.
            raise _MalformedFile(rows.line_num)
        scenes.append({name.strip().lower(): value for name, value in row.items()})
    return scenes
