"""Airflow's public REST API, as far as the ledger of a rollout needs it from outside of a task.

It is for a terminal: one attempt a request, and errors that say what to do next. Whether the command is given again is
up to the person who reads them.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

import httpx

from airflow_provider_sora.exceptions import (
    APIError,
    AuthenticationError,
    ConfigurationError,
    MalformedResponseError,
    NotFoundError,
    RejectedError,
    ResponseLostError,
    ServerError,
    ServerUnreachableError,
)
from airflow_provider_sora.rollouts.ledger import Event
from airflow_provider_sora.timestamps import isoformat, parse_isoformat

_T = TypeVar("_T")

#: Seconds for each part of a request: to connect, to send, to wait for the next bytes.
TIMEOUT: Final = 30.0

# Airflow gives fewer where its `[api] maximum_page_limit` is lower.
_PAGE: Final = 100

_LONGEST_QUOTE: Final = 300

_READING: Final = "Ask for a role that may read assets, such as Viewer"
_MARKING: Final = "Ask for the right to edit assets"
_WRITING: Final = "Ask for the right to create asset events, which the role Op has"


@dataclass(frozen=True, kw_only=True)
class Asset:
    """An asset, as Airflow lists it.

    :param id: its number in Airflow's database.
    :param name: its name.
    :param uri: its URI.
    :param group: its group.
    :param last_event_id: number of its latest event, None where it has none.
    """

    id: int
    name: str
    uri: str
    group: str
    last_event_id: int | None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """An asset of Airflow's list of assets.

        :param data: its JSON.
        """
        return cls(
            id=data["id"],
            name=data["name"],
            uri=data["uri"],
            group=data["group"],
            last_event_id=(data.get("last_asset_event") or {}).get("id"),
        )


class AirflowApi:
    """A connection to Airflow's API server; to be closed, or used in a ``with``.

    :param base_url: where the server answers, with the path below which it stands: ``https://example.com/airflow``.
    :param token: sent with each request; None to :meth:`sign_in` first.
    :raises ConfigurationError: the URL or the token cannot be used.
    """

    def __init__(self, base_url: str, *, token: str | None = None) -> None:
        try:
            url = httpx.URL(base_url)
        except httpx.InvalidURL as error:
            raise ConfigurationError(f"{base_url!r} is no URL of an Airflow: {error}.") from None
        if url.userinfo:
            raise ConfigurationError(
                "The URL of Airflow holds a user or a password, which a list of processes shows to everybody on this "
                "machine. Leave them out, and give them by the environment."
            )
        if url.scheme not in ("http", "https") or not url.host:
            raise ConfigurationError(f"{base_url!r} is no URL of an Airflow: it begins with http:// or https://.")
        self._base_url = base_url.rstrip("/")
        try:
            # A certificate authority of one's own is named by SSL_CERT_FILE, which httpx reads.
            self._client = httpx.Client(timeout=TIMEOUT)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"The environment's proxy or certificate authority cannot be used: {error}. Look at HTTPS_PROXY, "
                "SSL_CERT_FILE and SSL_CERT_DIR."
            ) from None
        if token is not None:
            self._use(token)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def sign_in(self, username: str, password: str) -> None:
        """Get a token for a user's password, and use it from now on.

        :param username: the user's name in Airflow.
        :param password: the password.
        :raises APIError: the server took them not, or did not answer.
        """
        body = {"username": username, "password": password}
        try:
            answer = self._send("POST", "/auth/token", "Are the user's name and password right", body=body)
        except NotFoundError as error:
            raise NotFoundError(
                f"{error} Or this Airflow gives no token for a password: then get one as its auth manager wants it.",
                status_code=404,
            ) from None
        self._use(_entry(answer, "access_token", str))

    def assets(self, *, name: str | None = None) -> Iterator[Asset]:
        """The assets whose name contains a text; also those that no DAG names at the moment.

        :param name: the text, in any case; None for all assets.
        :raises APIError: the server refused, or did not answer.
        """
        # A DAG file that cannot be imported takes its assets from the list, and its rollout must still be stopped.
        chosen = {} if name is None else {"name_pattern": name}
        for each in self._listed("/api/v2/assets", "assets", {"only_active": False, **chosen}):
            yield _read(Asset.from_dict, each)

    def events(self, asset_id: int) -> list[Event]:
        """All events of an asset that this user may see, the oldest first.

        :param asset_id: the asset's number.
        :raises APIError: the server refused, or did not answer.
        """
        parameters = {"asset_id": asset_id, "order_by": "timestamp"}
        return [_read(_event, each) for each in self._listed("/api/v2/assets/events", "asset_events", parameters)]

    def create_event(self, asset_id: int, extra: Mapping[str, Any]) -> Event:
        """Add an event to an asset. Airflow notes the user in its audit log.

        :param asset_id: the asset's number.
        :param extra: what the event carries.
        :return: the event as Airflow stored it.
        :raises ResponseLostError: no answer came; the event may have been stored.
        :raises APIError: the server refused, or could not be reached: no event was stored.
        """
        body = {"asset_id": asset_id, "extra": dict(extra)}
        return _read(_event, self._send("POST", "/api/v2/assets/events", _WRITING, body=body))

    def state_store(self, asset_id: int, key: str) -> object:
        """A value of an asset's state store, None where it has no such key.

        :param asset_id: the asset's number.
        :param key: the key.
        :raises APIError: the server refused, or did not answer.
        """
        try:
            answer = self._send("GET", _state_store_path(asset_id, key), _READING)
        except NotFoundError:
            return None
        return _entry(answer, "value", object)

    def set_state_store(self, asset_id: int, key: str, value: object) -> None:
        """Keep a value in an asset's state store, in the place of what was there.

        :param asset_id: the asset's number.
        :param key: the key.
        :param value: any JSON but null, of at most Airflow's ``[state_store] max_value_storage_bytes``.
        :raises ResponseLostError: no answer came; the value may have been kept.
        :raises APIError: the server refused, or could not be reached: nothing was kept.
        """
        self._send("PUT", _state_store_path(asset_id, key), _MARKING, body={"value": value})

    def _use(self, token: str) -> None:
        # Nothing else goes into a header, and the error of the HTTP library might repeat what it was given.
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise ConfigurationError("What was given as a token of Airflow is none: it has characters that none has.")
        self._client.headers["Authorization"] = f"Bearer {token}"

    def _listed(self, path: str, key: str, parameters: Mapping[str, Any]) -> Iterator[Any]:
        seen = 0
        while True:
            answer = self._send("GET", path, _READING, parameters={**parameters, "limit": _PAGE, "offset": seen})
            page = _entry(answer, key, list)
            yield from page
            seen += len(page)
            if not page or seen >= _entry(answer, "total_entries", int):
                return

    def _send(
        self,
        method: str,
        path: str,
        advice: str,
        *,
        parameters: Mapping[str, Any] | None = None,
        body: object = None,
    ) -> Any:
        where = f"{method} {self._base_url}{path}"
        try:
            answer = self._client.request(method, f"{self._base_url}{path}", params=parameters, json=body)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            raise ServerUnreachableError(f"{where}: {_unreachable(error)}") from None
        except httpx.HTTPError as error:
            words = str(error) or type(error).__name__
            raise ResponseLostError(f"{where}: the request was sent and no answer came ({words}).") from None
        if not answer.is_success:
            raise _refusal(answer, where, advice)
        if answer.status_code == httpx.codes.NO_CONTENT:
            return None
        try:
            return answer.json()
        except ValueError:
            begins = " ".join(answer.text[:120].split())
            raise MalformedResponseError(
                f"{where} answered {answer.status_code} with {answer.headers.get('content-type', 'no content type')} "
                f"and not with JSON. It begins {begins!r}. Is this the URL of Airflow's API server, without /api/v2, "
                "or does a login page stand before it?",
                status_code=answer.status_code,
            ) from None


def _state_store_path(asset_id: int, key: str) -> str:
    return f"/api/v2/assets/{asset_id}/state-store/{quote(key, safe='')}"


def _unreachable(error: httpx.TransportError) -> str:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            f"the server's certificate was not accepted ({cause.verify_message}). Nothing was sent. Where an authority "
            "of your own signed it, name that authority's file in SSL_CERT_FILE."
        )
    if cause is not None:
        return f"no TLS connection could be made ({error}). Nothing was sent. Is it https:// that this server speaks?"
    return (
        f"no connection could be made ({str(error) or type(error).__name__}). Nothing was sent. Check the URL, that "
        "the API server runs, and that this machine may reach it."
    )


def _refusal(answer: httpx.Response, where: str, advice: str) -> APIError:
    status = answer.status_code
    words = _words(answer)
    said = f"{where} answered {status}: {words}."
    if answer.is_redirect:
        target = answer.headers["location"]
        return RejectedError(f"{said} It redirects to {target}: give the URL that it wants.", status_code=status)
    # Airflow has 401 for a token that expired, and 403 for one that it cannot read.
    if status == 401 or (status == 403 and "token" in words.lower()):
        what = (
            "Has the token expired, or is it another Airflow's" if "authorization" in answer.request.headers else advice
        )
        return AuthenticationError(f"{said} Airflow does not know who asks. {what}?", status_code=status)
    if status == 403:
        return AuthenticationError(f"{said} This user may not do that. {advice}.", status_code=status)
    # A path that is none of the API's may be one of the pages', which take no POST.
    if status in (404, 405):
        return NotFoundError(
            f"{said} Check that the URL is that of Airflow's API server, with the path below which it stands and "
            "without /api/v2.",
            status_code=status,
        )
    if status >= 500:
        return ServerError(f"{said} Airflow is in trouble: look at the log of its API server.", status_code=status)
    return RejectedError(said, status_code=status)


def _words(answer: httpx.Response) -> str:
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = answer.text
    text = " ".join(str(detail).split()).rstrip(".") or answer.reason_phrase or "no reason given"
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…"


def _event(data: Mapping[str, Any]) -> Event:
    return Event(id=data["id"], extra=data["extra"], at=isoformat(parse_isoformat(data["timestamp"])))


def _read(read: Callable[[Any], _T], data: object) -> _T:
    try:
        return read(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _not_airflow(f"{type(error).__name__} {error}") from None


def _entry(answer: object, key: str, kind: type[_T]) -> _T:
    value = answer.get(key) if isinstance(answer, Mapping) else None
    if not isinstance(value, kind):
        raise _not_airflow(f"there is no {key!r} in it")
    return value


def _not_airflow(fault: str) -> MalformedResponseError:
    return MalformedResponseError(
        f"The server's answer is not that of Airflow's REST API v2: {fault}. Is this the URL of an Airflow 3?"
    )
