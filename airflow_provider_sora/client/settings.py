"""What it takes to reach a server."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from airflow_provider_sora.exceptions import ConfigurationError

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 60.0

#: What HTTP libraries agree on in the value of a header; a line break would begin another header.
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Everything that decides how a server is reached; equal settings share one HTTP client.

    :param base_url: with scheme, and with ``/v1`` where the server has it.
    :param api_key: None for a server that asks for none.
    :param backend: name of its profile in ``client.backends``.
    :param connect_timeout: seconds to wait for a connection.
    :param read_timeout: seconds to wait for each part of an answer.
    :param verify: False to accept any certificate, or the path of a CA bundle.
    :param headers: further headers, as pairs.
    :param proxy: URL of a proxy.
    :raises ConfigurationError: the base URL is empty or not usable, or the key, a header or the proxy is malformed.
    """

    base_url: str
    api_key: str | None = field(default=None, repr=False)
    backend: str = "sora"
    connect_timeout: float = CONNECT_TIMEOUT
    read_timeout: float = READ_TIMEOUT
    verify: bool | str = True
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    proxy: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.base_url:
            raise ConfigurationError(
                "The connection has no base URL. Nothing was sent: there is no default server. Start the embedded "
                "emulator with `sora-emulator` and set the connection's host to the URL that it prints, or set it to "
                "your own server, including /v1."
            )
        parts = _parsed(self.base_url)
        if parts is not None and (parts.username or parts.password):
            raise ConfigurationError(
                "The connection's base URL contains a user name or password, which would be shown in logs. Put the "
                "key into the password field, or other credentials into the extra `headers`."
            )
        if parts is None or parts.scheme not in ("http", "https"):
            shown = "" if "@" in self.base_url else f" {self.base_url!r}"
            raise ConfigurationError(
                f"The connection's base URL{shown} is not a URL. It begins with http:// or https:// and "
                "usually ends with /v1, such as http://127.0.0.1:8300/v1."
            )
        if parts.query or parts.fragment:
            raise ConfigurationError(
                "The connection's base URL has something behind `?` or `#`, to which no path can be added. It usually "
                "ends with /v1."
            )
        self._check_headers()
        if self.proxy and getattr(_parsed(self.proxy), "scheme", "") not in _PROXY_SCHEMES:
            raise ConfigurationError(
                f"The connection's extra `proxy` is not the URL of a proxy. It begins with {', '.join(_PROXY_SCHEMES)} "
                "and names a host, such as http://proxy.example.com:3128."
            )

    def _check_headers(self) -> None:
        """Refuse here what the HTTP library would refuse with the secret in its message."""
        if self.api_key and (not _HEADER_VALUE.fullmatch(self.api_key) or self.api_key != self.api_key.strip()):
            raise ConfigurationError(
                "The key in the connection's password field begins or ends with white space, or contains a line break "
                "or a character that is not ASCII. Nothing was sent. Was a line break copied with it?"
            )
        for name, value in self.headers:
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
                raise ConfigurationError(
                    f"The connection's extra `headers` has an entry {name!r} with a line break, or a character that is "
                    "not ASCII. Nothing was sent."
                )

    @property
    def host(self) -> str:
        """Host name of the server, without port."""
        return urlsplit(self.base_url).hostname or ""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown, the longest first. What is shorter than six characters would hide common words."""
        found = {self.api_key, self.proxy, *(value for _, value in self.headers)}
        if self.proxy and (password := urlsplit(self.proxy).password):
            found.update((password, unquote(password)))
        for _, value in self.headers:
            found.update(value.split())
        return tuple(sorted((secret for secret in found if secret and len(secret) >= 6), key=len, reverse=True))

    def redact(self, text: str) -> str:
        """A text without any secret of these settings.

        :param text: what is to be shown: a server may repeat a key in its error message.
        """
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def _parsed(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        usable = parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if usable else None
