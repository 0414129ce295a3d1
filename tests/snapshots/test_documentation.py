"""The examples in ``docs/snapshots.md`` do what the page says."""

import json
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_sora.exceptions import SoraError
from airflow_provider_sora.snapshots.__main__ import main
from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.snapshots.resolution import Environment, Resolution, resolve
from airflow_provider_sora.snapshots.snapshot import Snapshot
from airflow_provider_sora.videos.request import VideoRequest

PAGE = (Path(__file__).parents[2] / "docs" / "snapshots.md").read_text(encoding="utf-8")
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def extras(key: str) -> list[dict[str, Any]]:
    return [extra for extra in map(json.loads, blocks("json")) if key in extra]


def message_of(reference: str, *, environment: str, host: str) -> str:
    with pytest.raises(SoraError) as caught:
        resolve(
            reference,
            catalog=Catalog.builtin(),
            environment=Environment(name=environment, is_set=True),
            host=host,
            now=NOW,
        )
    return str(caught.value)


@pytest.mark.parametrize("dialogue", [block for block in blocks("console") if " advise " in block])
def test_the_command_line_answers_as_shown(dialogue: str, capsys: pytest.CaptureFixture[str]) -> None:
    command, expected = dialogue.split("\n", 1)
    prefix = "$ python -m airflow_provider_sora.snapshots "
    assert command.startswith(prefix)
    assert main(shlex.split(command.removeprefix(prefix))) == 0
    assert capsys.readouterr().out == expected


def test_a_mistake_in_a_file_is_reported_as_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [toml] = blocks("toml")
    wrong = toml.replace("max_seconds = 12", 'max_seconds = "long"')
    (tmp_path / "snapshots.toml").write_text(wrong, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["list", "--catalog", "snapshots.toml"]) == 1
    assert capsys.readouterr().err in PAGE


def test_the_messages_are_the_real_ones() -> None:
    shown = {" ".join(block.split()) for block in blocks("text")}
    with pytest.raises(SoraError) as caught:
        VideoRequest.parse(prompt="x", seconds=25).check(
            Catalog.builtin().get("sora-2-2025-10-06"), catalog=Catalog.builtin()
        )
    assert shown == {
        str(caught.value),
        message_of("sora-2", environment="production", host="127.0.0.1"),
        message_of("sora-2-2025-10-06", environment="staging", host="api.openai.com"),
    }


def test_the_file_is_a_good_catalogue() -> None:
    [toml] = blocks("toml")
    catalog = Catalog.builtin().with_toml(toml, source="docs/snapshots.md")
    resolution, snapshot = resolve(
        None,
        catalog=catalog,
        environment=Environment(name="qa", is_set=True),
        host="gateway.example.com",
        now=NOW,
    )
    assert (resolution.snapshot, resolution.shutdown_date) == ("wan-2.2-r3", "2027-01-31")
    assert snapshot.max_seconds == 12


def test_the_snapshots_of_a_connection_are_good_ones() -> None:
    [extra] = extras("snapshots")
    catalog = (
        Catalog.builtin()
        .extended(extra["snapshots"], source="docs/snapshots.md")
        .with_names(versions=extra["versions"])
    )
    assert catalog.follow("stable") == ("stable", "wan-2.2-r3")


def test_the_names_of_a_connection_are_good_ones() -> None:
    for extra in [*extras("versions"), *extras("environments")]:
        Catalog.builtin().with_names(
            versions=extra.get("versions"), environments=extra.get("environments"), source="docs/snapshots.md"
        )


def test_the_version_metadata_has_the_real_keys() -> None:
    [shown] = extras("resolved_at")
    assert Resolution.from_dict(shown).to_dict() == shown


def test_every_key_of_an_entry_is_explained() -> None:
    explained = set(re.findall(r"`(\w+)`", PAGE))
    assert set(Snapshot.__dataclass_fields__) - {"source"} <= explained
