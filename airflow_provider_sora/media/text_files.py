"""A file that an author named: read safely, or refused with a reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from airflow_provider_sora.exceptions import (
    ConfigurationError,
    InvalidRequestError,
    OutputPathUnavailableError,
    SoraError,
)
from airflow_provider_sora.media.storage import describe, is_local, open_to_read, without_secrets


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """A file to be read, and how messages speak of it.

    :param path: a local path or any object storage URL that Airflow reads.
    :param subject: what it is, such as ``the manifest``.
    :param example: a file name as its kind has it, such as ``manifest.jsonl``.
    :param outcome: what a message begins with.
    :param error: raised where the file is at fault.
    """

    path: str
    subject: str
    example: str
    outcome: str = "Nothing was submitted"
    error: type[InvalidRequestError] | type[ConfigurationError] = InvalidRequestError

    @property
    def shown(self) -> str:
        """Its path, without passwords."""
        return without_secrets(self.path)

    @property
    def suffix(self) -> str:
        """What its name ends with, in small letters and without the dot."""
        return self.path.rpartition(".")[2].lower()

    def refusal(self, fault: str) -> SoraError:
        """The error for a file that cannot be used.

        :param fault: what is wrong with it, as the rest of a sentence without its full stop.
        """
        return self.error(f"{self.outcome}: {self.subject} {self.shown} {fault}.")

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """The open file. What goes wrong at its store while the block reads is told in the same way.

        :raises SoraError: ``error``, where its path holds credentials, or it is not there or may not be read.
        :raises OutputPathUnavailableError: its store does not answer as it should; this may pass.
        """
        from airflow.sdk import ObjectStoragePath

        if self.path != self.shown:
            raise self.error(
                f"{self.outcome}: the path of {self.subject}, {self.shown}, holds credentials, which would be seen in "
                f"logs. Put them into an Airflow connection and name it: s3://conn_id@bucket/{self.example}."
            )
        try:
            file_path = ObjectStoragePath(self.path)
            if is_local(file_path) and not Path(file_path.path).is_file():
                # A pipe would be waited for without end.
                raise FileNotFoundError(f"there is no file {self.shown}")
            with open_to_read(file_path) as file:
                yield file
        except SoraError:
            raise
        except (FileNotFoundError, PermissionError, IsADirectoryError, ValueError, ImportError) as error:
            raise self.refusal(f"cannot be read: {describe(error)}") from error
        except Exception as error:
            raise OutputPathUnavailableError(
                f"{self.outcome}: {self.subject} {self.shown} cannot be read for now: {describe(error)}."
            ) from error

    def content(self, *, limit: int) -> bytes:
        """All of it.

        :param limit: the most bytes that it may have, whole MiB.
        :raises SoraError: as for :meth:`open`, or it is larger.
        """
        with self.open() as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise self.refusal(f"is larger than {limit >> 20} MiB")
        return content

    def text(self, *, limit: int) -> str:
        """All of it as text: UTF-8, with or without a byte order mark.

        :param limit: the most bytes that it may have, whole MiB.
        :raises SoraError: as for :meth:`content`, or it is no UTF-8.
        """
        content = self.content(limit=limit)
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise self.refusal(f"is not UTF-8 text, see line {line}") from None
