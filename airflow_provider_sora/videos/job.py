"""A job, as any server of this protocol may describe it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class JobStatus(StrEnum):
    """What the many words of the servers come down to."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def is_final(self) -> bool:
        """Whether the job will not change any more."""
        return self in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.STOPPED)


#: The words of OpenAI, vLLM-Omni, SGLang, FastVideo, TensorRT-LLM, LiteLLM, New API, OpenRouter and Aquiles.
_WORDS = {
    JobStatus.QUEUED: "queued pending submitted not_start preparing created starting unknown",
    JobStatus.IN_PROGRESS: "in_progress processing running generating postprocessing",
    JobStatus.COMPLETED: "completed complete succeeded success finished done",
    JobStatus.FAILED: "failed failure fail error",
    JobStatus.STOPPED: "cancelled canceled expired deleted stopped",
}
_STATUS_BY_WORD = {word: status for status, words in _WORDS.items() for word in words.split()}
_WITHOUT_VIDEO = (JobStatus.FAILED, JobStatus.STOPPED)

_MODERATION = ("moderation", "content_polic", "contentpolic", "content_filter", "contentfilter", "safety", "sensitive")

#: Above this a number cannot be seconds since 1970 (it would be the year 5138), so it is milliseconds.
_LARGEST_EPOCH_SECONDS = 100_000_000_000


#: What Airflow's messages between a task and its supervisor can carry, signed or not.
SEEDS = range(-(2**63), 2**64)

#: Characters of a server's words about a failure that are kept.
LONGEST_MESSAGE = 1000


@dataclass(frozen=True, kw_only=True)
class JobError:
    """Why a job failed, in the server's own words.

    :param code: a word for programs, None where the server sent none.
    :param message: a sentence for people.
    """

    code: str | None
    message: str

    @property
    def is_moderation(self) -> bool:
        """Whether a content policy stopped the job, so that trying again is of no use."""
        # LiteLLM gives the HTTP status as the code, and the upstream server's code in the message.
        telling = self.message if self.code is None or self.code.isdigit() else self.code
        text = re.sub(r"[\s-]+", "_", telling.lower())
        return any(word in text for word in _MODERATION)


@dataclass(frozen=True, kw_only=True)
class VideoJob:
    """One answer of a server about one job, normalised.

    :param id: the server's id: opaque, up to about 300 characters, never a file name.
    :param status: what its word comes down to.
    :param status_word: the word itself.
    :param is_known_word: False for a word that no known server uses; such a job is waited for.
    :param progress: 0 to 100, None where not told.
    :param model: what the server says it serves.
    :param seconds: length of the clip, None where not told.
    :param size: ``WIDTHxHEIGHT``, None where not told.
    :param seed: the seed that the server chose or was given, None where not told.
    :param prompt: None where not told.
    :param created_at: None where not told, like the following two.
    :param completed_at: when the job became final.
    :param expires_at: when the server deletes the file.
    :param error: why it failed.
    :param poll_after: seconds after which the server wants to be asked again, None where it has no wish.
    """

    id: str
    status: JobStatus
    status_word: str = ""
    is_known_word: bool = True
    progress: float | None = None
    model: str | None = None
    seconds: float | None = None
    size: str | None = None
    seed: int | None = None
    prompt: str | None = None
    created_at: datetime | None = None
    completed_at: datetime | None = None
    expires_at: datetime | None = None
    error: JobError | None = None
    poll_after: float | None = None

    @classmethod
    def from_response(
        cls, body: Mapping[str, Any], *, default_id: str = "", poll_after: float | None = None
    ) -> VideoJob:
        """Read what a server answered. Nothing but the id and the status is relied on.

        :param body: the JSON object.
        :param default_id: the id to use where the answer has none.
        :param poll_after: as the field of the same name.
        :raises ValueError: neither an id nor a status: this is not a job.
        """
        job_id = next((str(body[key]) for key in ("id", "video_id", "task_id") if body.get(key)), default_id)
        word = _sound(str(body.get("status") or "")).strip()
        if not job_id or (not word and not default_id and body.get("object") != "video"):
            raise ValueError("no job id or no status")
        status = _status_of(word)
        places = ["error", "fail_reason", *(("detail", "message") if status in _WITHOUT_VIDEO else ())]
        error = next(filter(None, (read_error(body.get(place)) for place in places)), None)
        return cls(
            id=job_id,
            status=status or JobStatus.QUEUED,
            status_word=word,
            is_known_word=status is not None or not word,
            progress=_number(body.get("progress")),
            model=_text(body.get("model")),
            seconds=_number(body.get("seconds", body.get("duration"))),
            size=_text(body.get("size")),
            seed=_whole(body.get("seed")),
            prompt=_text(body.get("prompt")),
            created_at=_moment(body.get("created_at")),
            completed_at=_moment(body.get("completed_at")),
            expires_at=_moment(body.get("expires_at")),
            error=error,
            poll_after=poll_after,
        )

    @classmethod
    def from_error_body(cls, body: object, *, default_id: str) -> VideoJob | None:
        """The failed job that a server hid in an HTTP error, or None.

        vLLM-Omni answers a failed job with a 4xx or 5xx whose body is the job; LiteLLM puts that job as JSON
        text into ``error.message``.

        :param body: the body of the error, parsed where it was JSON.
        :param default_id: the id that was asked for.
        """
        for candidate in _embedded_objects(body):
            if _status_of(candidate.get("status")) in _WITHOUT_VIDEO and (
                candidate.get("id") or candidate.get("object") == "video"
            ):
                return cls.from_response({**candidate, "id": default_id}, default_id=default_id)
        return None

    def presentable(self, redact: Callable[[str], str]) -> VideoJob:
        """This job with the server's words about its failure fit to be shown and stored: no secret, no whole traceback.

        :param redact: takes secrets out of a text.
        """
        if self.error is None:
            return self
        message = redact(self.error.message)
        if len(message) > LONGEST_MESSAGE:
            message = f"{message[:LONGEST_MESSAGE]}…"
        code = None if self.error.code is None else redact(self.error.code)[:LONGEST_MESSAGE]
        return replace(self, error=JobError(code=code, message=message))

    def with_id(self, video_id: str) -> VideoJob:
        """This job under the id that create returned: LiteLLM up to 1.106 answers retrieve with another one.

        :param video_id: the id that create returned.
        """
        return replace(self, id=video_id)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for an event or a record; :meth:`from_dict` reads them."""
        plain = asdict(self)
        for key in ("created_at", "completed_at", "expires_at"):
            moment = getattr(self, key)
            plain[key] = None if moment is None else moment.isoformat()
        plain["status"] = self.status.value
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> VideoJob:
        """The inverse of :meth:`to_dict`.

        :param data: what it gave.
        """
        times = {key: _moment(data.get(key)) for key in ("created_at", "completed_at", "expires_at")}
        error = JobError(**data["error"]) if data.get("error") else None
        return cls(**{**data, **times, "status": JobStatus(data["status"]), "error": error})


def read_error(error: object) -> JobError | None:
    """An error in any of the shapes that servers use: an object, a text, nested, or nothing.

    :param error: the value of ``error``, ``fail_reason`` or ``detail``.
    """
    if not error:
        return None
    if isinstance(error, Mapping):
        if isinstance(inner := error.get("error"), Mapping) and inner:
            return read_error(inner)
        code = error.get("code") or error.get("type")
        keys = ("message", "detail", "msg", "reason", "error")
        message = next((error[key] for key in keys if error.get(key)), dict(error))
        return JobError(code=_sound(str(code)) if code else None, message=_readable(message))
    return JobError(code=None, message=_readable(error))


def _readable(value: object) -> str:
    return _sound(value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False))


def _sound(text: str) -> str:
    """A text that can be stored: half of a surrogate pair, which JSON may hold, is no character."""
    return text.encode(errors="replace").decode()


def _status_of(word: object) -> JobStatus | None:
    return _STATUS_BY_WORD.get(re.sub(r"[\s-]+", "_", str(word or "").strip().lower()))


def _embedded_objects(body: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(body, str):
        for parsed in _objects_in(body):
            yield from _embedded_objects(parsed)
    elif isinstance(body, Mapping):
        yield body
        for key in ("error", "detail", "message"):
            yield from _embedded_objects(body.get(key))


def _objects_in(text: str) -> Iterator[object]:
    decoder, start = json.JSONDecoder(), text.find("{")
    while start >= 0:
        try:
            parsed, end = decoder.raw_decode(text, start)
            yield parsed
        except (ValueError, RecursionError):
            end = start + 1
        start = text.find("{", end)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(str(value).strip().rstrip("%s"))
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


def _whole(value: object) -> int | None:
    if isinstance(value, (int, str)) and re.fullmatch(r"[+-]?[0-9]{1,40}", str(value).strip()):
        whole = int(value)  # a float has 53 bits, and a seed may have 64
    else:
        number = _number(value)
        if number is None or not number.is_integer():
            return None
        whole = int(number)
    return whole if whole in SEEDS else None


def _text(value: object) -> str | None:
    return _sound(str(value)) if value not in (None, "") else None


def _moment(value: object) -> datetime | None:
    number = _number(value)
    try:
        if number is not None:
            seconds = number / 1000 if number > _LARGEST_EPOCH_SECONDS else number
            return datetime.fromtimestamp(seconds, UTC) if seconds > 0 else None
        if isinstance(value, str) and value.strip():
            moment = datetime.fromisoformat(value.strip())
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None
