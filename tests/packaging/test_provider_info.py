"""What the provider tells Airflow about itself, held against Airflow's schema and our own files."""

import json
import re
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import airflow_provider_sora
from airflow_provider_sora.client.backends import BACKENDS
from airflow_provider_sora.get_provider_info import get_provider_info

PACKAGE = Path(airflow_provider_sora.__file__).parent


@pytest.fixture(scope="module")
def info() -> dict[str, Any]:
    return get_provider_info()


@pytest.fixture(scope="module")
def form() -> Any:
    """The connection form of type ``sora`` as the API server hands it to the browser."""
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

    [form] = [meta for meta in HookMetaService.hook_meta_data() if meta.connection_type == "sora"]
    return form


def test_the_info_satisfies_airflows_schema(info: dict[str, Any]) -> None:
    jsonschema.validate(info, json.loads(files("airflow").joinpath("provider_info.schema.json").read_text()))


#: What the operators share; nobody puts them into a DAG.
SHARED = {"SoraVideoOperator", "SoraDerivedVideoOperator"}


@pytest.mark.parametrize(
    ("room", "ending"), [("hooks", "Hook"), ("operators", "Operator"), ("sensors", "Sensor"), ("triggers", "Trigger")]
)
def test_each_class_of_a_room_is_found_in_a_module_that_is_listed(info: dict[str, Any], room: str, ending: str) -> None:
    modules = [import_module(name) for entry in info[room] for name in entry["python-modules"]]
    listed = {name for module in modules for name in vars(module) if name.startswith("Sora") and name.endswith(ending)}
    written = {
        name
        for file in (PACKAGE / room).glob("*.py")
        for name in re.findall(rf"^class (Sora\w*{ending})\b", file.read_text(), re.MULTILINE)
    }
    assert listed == written - SHARED
    assert listed


def test_what_belongs_to_an_integration_names_one_that_is_declared(info: dict[str, Any]) -> None:
    declared = {integration["integration-name"] for integration in info["integrations"]}
    used = {entry["integration-name"] for room in ("hooks", "operators", "sensors", "triggers") for entry in info[room]}
    assert used <= declared


def test_the_form_shows_the_base_url_and_the_key_and_hides_what_is_not_used(form: Any) -> None:
    standard = form.standard_fields
    assert form.hook_name == "Sora (video generation)"
    assert (standard.host.title, standard.host.placeholder) == ("Base URL", "http://127.0.0.1:8300/v1")
    assert standard.password.title == "API key"
    assert standard.url_schema.hidden
    assert standard.login.hidden
    assert standard.port.hidden


def test_the_form_offers_each_backend_that_has_a_profile(info: dict[str, Any]) -> None:
    fields = info["connection-types"][0]["conn-fields"]
    assert fields["backend"]["schema"]["enum"] == list(BACKENDS)


def test_the_form_has_a_field_for_each_extra(form: Any) -> None:
    assert set(form.extra_fields) == {
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


@pytest.mark.parametrize("name", ["headers", "proxy"])
def test_a_field_that_may_hold_a_secret_is_hidden_while_it_is_typed(form: Any, name: str) -> None:
    assert form.extra_fields[name]["schema"]["format"] == "password"


def test_each_default_is_valid_in_its_own_field(form: Any) -> None:
    for field in form.extra_fields.values():
        jsonschema.Draft7Validator.check_schema(field["schema"])
        jsonschema.validate(field["value"], field["schema"])


def test_the_catalog_option_is_a_known_setting_without_a_value() -> None:
    from airflow.configuration import conf

    declared = conf.configuration_description["sora"]["options"]["catalog"]
    assert declared["type"] == "string"
    assert conf.get("sora", "catalog", fallback=None) is None
