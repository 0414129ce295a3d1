"""What a connection's values come down to, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.get_provider_info import get_provider_info
from airflow_provider_sora.hooks.settings import ConnectionSettings

HOST = "http://127.0.0.1:8300/v1"
FORM: Any = get_provider_info()["connection-types"]
FIELDS = list(FORM[0]["conn-fields"])


def parse(host: str | None = HOST, password: str | None = "sk-secret", **extra: Any) -> ConnectionSettings:
    return ConnectionSettings.parse(conn_id="wan", host=host, password=password, extra=extra)


# --- not set ---


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_form_that_was_saved_without_filling_it_in_sets_nothing(nothing: str | None) -> None:
    assert parse(**dict.fromkeys(FIELDS, nothing)) == parse()


def test_every_field_of_the_form_is_an_extra_that_is_read() -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse(something="else")
    known = str(refused.value).partition("Known: ")[2].rstrip(".").split(", ")
    assert sorted(FIELDS) == known


def test_the_defaults_are_those_that_the_form_shows() -> None:
    settings = parse()
    shown = {name: each["schema"].get("default") for name, each in FORM[0]["conn-fields"].items()}
    assert settings.server.backend == shown["backend"]
    assert settings.server.connect_timeout == shown["connect_timeout"]
    assert settings.server.read_timeout == shown["read_timeout"]
    assert settings.allow_unlisted is shown["allow_unlisted"] is False
    assert settings.server.verify is True
    assert settings.environment is None


@pytest.mark.parametrize("password", [None, "", "  "])
def test_an_empty_key_is_no_key(password: str | None) -> None:
    assert parse(password=password).server.api_key is None


@pytest.mark.parametrize("host", [None, "", "   "])
def test_an_empty_host_names_the_emulator(host: str | None) -> None:
    with pytest.raises(ConfigurationError, match=r"no base URL.*`sora-emulator`"):
        parse(host=host)


# --- forms of a value ---


@pytest.mark.parametrize("headers", [{"X-Tenant": "a", "X-B": "b"}, '{"X-Tenant": "a", "X-B": "b"}'])
def test_headers_are_an_object_or_its_text(headers: Any) -> None:
    assert parse(headers=headers).server.headers == (("X-B", "b"), ("X-Tenant", "a"))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (True, True),
        (False, False),
        ("true", True),
        ("False", False),
        ("0", False),
        ("1", True),
        (" /etc/ca.pem ", "/etc/ca.pem"),
    ],
)
def test_verify_is_a_switch_or_a_path(given: Any, meant: Any) -> None:
    assert parse(verify=given).server.verify == meant


@pytest.mark.parametrize("given", [True, "true", " TRUE ", "1"])
def test_a_switch_may_be_a_text(given: Any) -> None:
    assert parse(allow_unlisted=given).allow_unlisted is True


@pytest.mark.parametrize("given", [7, 7.0, "7"])
def test_a_number_may_be_a_text(given: Any) -> None:
    assert parse(connect_timeout=given, read_timeout=given).server.read_timeout == 7.0


@pytest.mark.parametrize("given", [{"stable": "a"}, '{"stable": "a"}'])
def test_names_are_an_object_or_its_text(given: Any) -> None:
    settings = parse(versions=given, environments=given)
    assert settings.versions == settings.environments == {"stable": "a"}


@pytest.mark.parametrize("given", [[{"id": "wan-2.2"}], '[{"id": "wan-2.2"}]'])
def test_snapshots_are_a_list_or_its_text(given: Any) -> None:
    assert parse(snapshots=given).snapshots == ({"id": "wan-2.2"},)


# --- bad values ---


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("backend", 3, "takes a text, not 3"),
        ("environment", ["production"], r"takes a text, not \['production'\]"),
        ("versions", "stable", "takes a JSON object of texts such as"),
        ("versions", {"stable": 1}, "takes a JSON object of texts such as"),
        ("environments", "[]", "takes a JSON object of texts such as"),
        ("snapshots", {"id": "wan"}, "takes a JSON list of catalogue entries"),
        ("snapshots", ["wan"], "takes a JSON list of catalogue entries"),
        ("snapshots", "[", "takes a JSON list of catalogue entries"),
        ("allow_unlisted", "perhaps", "takes true or false, not 'perhaps'"),
        ("allow_unlisted", 2, "takes true or false, not 2"),
        ("verify", 3, "takes true or false, not 3"),
        ("connect_timeout", 0, "takes a number of seconds above zero, not 0"),
        ("connect_timeout", -1, "takes a number of seconds above zero, not -1"),
        ("read_timeout", "soon", "takes a number of seconds above zero, not 'soon'"),
        ("read_timeout", True, "takes a number of seconds above zero, not True"),
        ("read_timeout", "nan", "takes a number of seconds above zero, not 'nan'"),
        ("headers", "X-Tenant: a", "takes a JSON object of texts"),
        ("headers", {"X-Tenant": 1}, "takes a JSON object of texts"),
        ("proxy", 3128, "takes a text"),
    ],
)
def test_a_bad_value_is_named_with_its_connection(name: str, value: Any, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=f"Connection 'wan': the extra `{name}` {expected}"):
        parse(**{name: value})


def test_an_unknown_extra_is_named_with_those_that_are_known() -> None:
    with pytest.raises(
        ConfigurationError, match=r"unknown extras: base_url, tiemout\. Nothing was sent\. Known: .*read_timeout"
    ):
        parse(tiemout=3, base_url="http://x")


def test_an_extra_that_is_no_object_is_refused() -> None:
    bad: Any = ["backend"]
    with pytest.raises(ConfigurationError, match=r"'wan'.* is a JSON object"):
        ConnectionSettings.parse(conn_id="wan", host=HOST, password=None, extra=bad)


@pytest.mark.parametrize("host", ["127.0.0.1:8300/v1", "videos.example.com", "ftp://x/v1", "http://"])
def test_a_host_that_is_no_url_is_refused_with_an_example(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is not a URL.*http://127\.0\.0\.1:8300/v1"):
        parse(host=host)


# --- secrets ---


@pytest.mark.parametrize(
    "bad",
    [
        {"headers": '{"Authorization": "Bearer hush-hush"'},
        {"headers": {"Authorization": "Bearer hush-hush\n"}},
        {"proxy": "hush-hush:3128"},
        {"proxy": ["http://u:hush-hush@p"]},
        {"host": "http://u:hush-hush@127.0.0.1/v1"},
        {"password": "hush-\nhush-hush"},
        {"password": "hush-hush✓"},
    ],
)
def test_no_message_repeats_a_secret(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse(**bad)
    assert "hush" not in str(refused.value)


def test_no_secret_is_in_a_repr_or_in_the_name_of_the_account() -> None:
    settings = parse(password="hush-1", headers={"X-Key": "hush-2"}, proxy="http://u:hush-3@127.0.0.1:3128")
    assert "hush" not in repr(settings) + settings.account
    assert settings.account == f"wan@{HOST}"
