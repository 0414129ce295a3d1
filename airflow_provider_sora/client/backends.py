"""How each kind of server wants this protocol: one declarative profile a server."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_sora.exceptions import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Backend:
    """The profile of a kind of server.

    :param name: what the connection's extra ``backend`` says.
    :param title: its name for people.
    :param seconds_as: the type in which it takes ``seconds``.
    :param idempotent: whether a create with an ``Idempotency-Key`` that it knows gives the same job again.
    :param lists: whether it lists its videos.
    :param cancels: whether deleting a job that runs stops it.
    """

    name: str
    title: str
    seconds_as: type[int] | type[str]
    idempotent: bool
    lists: bool
    cancels: bool


BACKENDS = {
    backend.name: backend
    for backend in (
        Backend(
            name="sora",
            title="Sora 2 as gateways and the embedded emulator serve it",
            seconds_as=int,
            idempotent=True,
            lists=True,
            cancels=True,
        ),
        # OpenAI's API refused integers: seconds were the texts "4", "8", "12" and later "16" and "20".
        Backend(
            name="openai",
            title="OpenAI's Videos API, and servers that copy it",
            seconds_as=str,
            idempotent=False,
            lists=True,
            cancels=False,
        ),
    )
}

#: What a result records where the server got the request in the form in which its author wrote it.
RENDERED_NATIVELY = "native"


def backend_named(name: str) -> Backend:
    """The profile of this name.

    :param name: what the connection says.
    :raises ConfigurationError: there is no such profile.
    """
    try:
        return BACKENDS[name]
    except KeyError:
        known = "; ".join(f"{backend.name} ({backend.title})" for backend in BACKENDS.values())
        raise ConfigurationError(
            f"The connection's backend {name!r} is not known. Nothing was sent. Known: {known}."
        ) from None
