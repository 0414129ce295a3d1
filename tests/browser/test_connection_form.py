"""The form in which a person adds a Sora connection."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow_stack import AirflowStack

from airflow_provider_sora.get_provider_info import get_provider_info
from airflow_provider_sora.hooks.settings import ConnectionSettings

if TYPE_CHECKING:
    from emulator_process import EmulatorProcess
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.system, pytest.mark.browser]

CONNECTION_TYPE: Any = get_provider_info()["connection-types"]
FIELDS: dict[str, Any] = CONNECTION_TYPE[0]["conn-fields"]
MASKED = {name for name, field in FIELDS.items() if field["schema"].get("format") == "password"}


@pytest.fixture
def form(page: Page) -> Locator:
    """The form for a new connection of type Sora."""
    page.goto("/connections")
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    kind = form.get_by_role("combobox").first
    kind.click()
    kind.fill("sora")
    page.get_by_role("option", name="Sora (video generation)").click()
    form.locator("[name=host]").wait_for()
    return form


@pytest.fixture
def conn_id(airflow_stack: AirflowStack) -> Iterator[str]:
    """The id of a connection that is gone after the test."""
    yield "sora_by_form"
    airflow_stack.request("DELETE", "/api/v2/connections/sora_by_form")


def open_extra_fields(form: Locator) -> None:
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    form.get_by_text(FIELDS["backend"]["label"], exact=True).wait_for()


def test_the_standard_fields_speak_of_a_url_and_a_key_and_of_nothing_else(form: Locator) -> None:
    labels = [label for label in form.locator("label").all_inner_texts() if label]
    for label in ("Description", "Base URL", "API key"):
        assert form.get_by_text(label, exact=True).is_visible()
    for absent in ("login", "port", "schema"):
        assert form.locator(f"[name={absent}]").count() == 0, labels
    assert form.locator("[name=host]").get_attribute("placeholder") == "http://127.0.0.1:8300/v1"
    assert form.locator("[name=password]").get_attribute("type") == "password"


def test_every_extra_has_its_label_and_its_explanation(form: Locator, tmp_path: Path) -> None:
    open_extra_fields(form)
    for field in FIELDS.values():
        assert form.get_by_text(field["label"], exact=True).is_visible(), field
        if "description" in field:
            assert form.get_by_text(field["description"], exact=True).is_visible(), field
    form.page.screenshot(path=tmp_path / "extra-fields.png", full_page=True)
    assert (tmp_path / "extra-fields.png").stat().st_size > 0


def test_what_may_be_secret_is_hidden_while_it_is_typed(form: Locator) -> None:
    open_extra_fields(form)
    hidden = {name for name in FIELDS if form.locator(f"input[name=element_{name}][type=password]").count()}
    assert hidden == MASKED == {"headers", "proxy"}


def test_the_defaults_are_shown(form: Locator) -> None:
    open_extra_fields(form)
    assert form.locator("[name=element_backend]").input_value() == "sora"
    assert form.locator("[name=element_connect_timeout]").input_value() == "5"
    assert form.locator("[name=element_read_timeout]").input_value() == "60"
    assert not form.locator("[name=element_allow_unlisted]").is_checked()


def test_a_connection_that_was_filled_in_by_hand_works(
    form: Locator, conn_id: str, airflow_stack: AirflowStack, fast_emulator: EmulatorProcess
) -> None:
    form.locator("[name=connection_id]").fill(conn_id)
    form.locator("[name=host]").fill(fast_emulator.base_url)
    form.locator("[name=password]").fill("sk-stack")
    open_extra_fields(form)
    form.locator("[name=element_environment]").fill("production")
    form.locator("[name=element_verify]").fill("false")
    form.locator("[name=element_headers]").fill('{"X-Tenant": "films"}')
    form.get_by_role("button", name="Save").click()
    form.wait_for(state="hidden")
    saved = airflow_stack.rest("GET", f"/connections/{conn_id}")
    assert (saved["conn_type"], saved["host"], saved["password"]) == ("sora", fast_emulator.base_url, "***")
    extra = json.loads(saved["extra"])
    assert extra["versions"] is None
    settings = ConnectionSettings.parse(conn_id=conn_id, host=saved["host"], password="sk-stack", extra=extra)
    assert settings.environment == "production"
    assert settings.server.verify is False
    assert settings.server.headers == (("X-Tenant", "films"),)
    tested = airflow_stack.request(
        "POST",
        "/api/v2/connections/test",
        json={
            "connection_id": conn_id,
            "conn_type": "sora",
            "host": saved["host"],
            "password": "sk-stack",
            "extra": saved["extra"],
        },
    )
    assert tested.json()["status"] is True, tested.text
    assert f"GET {fast_emulator.base_url}/models answered with" in tested.json()["message"]


def test_a_form_that_was_hardly_filled_in_makes_a_connection_of_defaults(
    form: Locator, conn_id: str, airflow_stack: AirflowStack
) -> None:
    form.locator("[name=connection_id]").fill(conn_id)
    form.locator("[name=host]").fill("http://127.0.0.1:8300/v1")
    form.get_by_role("button", name="Save").click()
    form.wait_for(state="hidden")
    saved = airflow_stack.rest("GET", f"/connections/{conn_id}")
    extra = json.loads(saved["extra"])
    assert set(extra) == set(FIELDS)
    by_form = ConnectionSettings.parse(conn_id=conn_id, host=saved["host"], password=None, extra=extra)
    by_hand = ConnectionSettings.parse(conn_id=conn_id, host=saved["host"], password=None, extra={})
    assert by_form == by_hand
