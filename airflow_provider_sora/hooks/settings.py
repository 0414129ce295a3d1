"""What a Sora connection says, read by name and checked. Pure: it is given the connection's values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from airflow_provider_sora.client.settings import CONNECT_TIMEOUT, READ_TIMEOUT, ServerSettings
from airflow_provider_sora.exceptions import ConfigurationError

_EXTRAS = {
    "backend",
    "environment",
    "versions",
    "environments",
    "snapshots",
    "allow_unlisted",
    "connect_timeout",
    "read_timeout",
    "verify",
    "headers",
    "proxy",
    "claims_path",
}

_Value = TypeVar("_Value")


@dataclass(frozen=True, kw_only=True)
class ConnectionSettings:
    """A Sora connection.

    :param conn_id: its id.
    :param server: how its server is reached.
    :param environment: the deployment, None where the connection does not say.
    :param versions: named versions that it changes or adds.
    :param environments: environments that it changes or adds.
    :param snapshots: catalogue entries of the user's own models.
    :param allow_unlisted: whether models that no catalogue knows are sent as they are.
    :param claims_path: folder in which the tasks of this connection mark whose job is whose; None for their output
        folders.
    """

    conn_id: str
    server: ServerSettings
    environment: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    environments: Mapping[str, str] = field(default_factory=dict)
    snapshots: tuple[Mapping[str, Any], ...] = ()
    allow_unlisted: bool = False
    claims_path: str | None = None

    @property
    def account(self) -> str:
        """Whose account pays, without any secret: part of what makes two requests the same."""
        return f"{self.conn_id}@{self.server.base_url.rstrip('/')}"

    @classmethod
    def parse(
        cls, *, conn_id: str, host: str | None, password: str | None, extra: Mapping[str, Any]
    ) -> ConnectionSettings:
        """Read a connection's values. Empty texts and null mean: not set, as Airflow's form writes them.

        :param conn_id: its id.
        :param host: the base URL.
        :param password: the API key.
        :param extra: the extra as an object.
        :raises ConfigurationError: a value is not usable; the message names it, and never a secret.
        """
        if not isinstance(extra, Mapping):
            raise ConfigurationError(f"Connection {conn_id!r}: its extra is a JSON object, not {type(extra).__name__}.")
        if unknown := sorted(set(extra) - _EXTRAS):
            raise ConfigurationError(
                f"Connection {conn_id!r} has unknown extras: {', '.join(unknown)}. Nothing was sent. "
                f"Known: {', '.join(sorted(_EXTRAS))}."
            )
        given = {name: value for name, value in extra.items() if value not in (None, "")}
        reader = _Reader(conn_id, given)
        headers = _texts(reader.decoded("headers"))
        if headers is None:
            raise reader.fault("headers", "a JSON object of texts", secret=True)
        return cls(
            conn_id=conn_id,
            server=ServerSettings(
                base_url=(host or "").strip(),
                api_key=(password or "").strip() or None,
                backend=reader.typed("backend", str, "sora"),
                connect_timeout=reader.seconds("connect_timeout", CONNECT_TIMEOUT),
                read_timeout=reader.seconds("read_timeout", READ_TIMEOUT),
                verify=reader.verify(),
                headers=tuple(sorted(headers.items())),
                proxy=reader.typed("proxy", str, None, secret=True),
            ),
            environment=reader.typed("environment", str, None),
            versions=reader.names("versions", '{"stable": "sora-2-2025-10-06"}'),
            environments=reader.names("environments", '{"production": "stable"}'),
            snapshots=reader.entries("snapshots"),
            allow_unlisted=reader.boolean("allow_unlisted", False),
            claims_path=reader.typed("claims_path", str, None),
        )


class _Reader:
    """Reads extras by name, each with its type; an URI-style connection gives every value as text."""

    def __init__(self, conn_id: str, given: Mapping[str, Any]) -> None:
        self._conn_id = conn_id
        self._given = given

    def fault(self, name: str, expected: str, *, secret: bool = False) -> ConfigurationError:
        got = "" if secret else f", not {self._given[name]!r}"
        return ConfigurationError(f"Connection {self._conn_id!r}: the extra `{name}` takes {expected}{got}.")

    def typed(self, name: str, kind: type[str], default: _Value, *, secret: bool = False) -> str | _Value:
        value = self._given.get(name)
        if value is None:
            return default
        if not isinstance(value, kind):
            raise self.fault(name, "a text", secret=secret)
        return value.strip()

    def decoded(self, name: str) -> Any:
        value = self._given.get(name, {})
        if isinstance(value, str):
            try:
                return json.loads(value)
            except ValueError:
                return None
        return value

    def names(self, name: str, example: str) -> Mapping[str, str]:
        names = _texts(self.decoded(name))
        if names is None:
            raise self.fault(name, f"a JSON object of texts such as {example}")
        return names

    def entries(self, name: str) -> tuple[Mapping[str, Any], ...]:
        entries = self.decoded(name) if name in self._given else []
        if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
            raise self.fault(name, 'a JSON list of catalogue entries such as [{"id": "wan-2.2"}]')
        return tuple(entries)

    def seconds(self, name: str, default: float) -> float:
        value = self._given.get(name, default)
        try:
            seconds = float("nan") if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            seconds = float("nan")
        if not seconds > 0:
            raise self.fault(name, "a number of seconds above zero")
        return seconds

    def boolean(self, name: str, default: bool) -> bool:
        value = self._given.get(name, default)
        if isinstance(value, str):
            value = {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower())
        if not isinstance(value, bool):
            raise self.fault(name, "true or false")
        return value

    def verify(self) -> bool | str:
        value = self._given.get("verify", True)
        if isinstance(value, str) and value.strip().lower() not in ("true", "false", "1", "0"):
            return value.strip()
        return self.boolean("verify", True)


def _texts(value: Any) -> dict[str, str] | None:
    if isinstance(value, Mapping) and all(isinstance(text, str) for text in value.values()):
        return {str(name): text for name, text in value.items()}
    return None
