"""``python -m airflow_provider_sora.snapshots``, as somebody at a terminal sees it."""

import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_sora.snapshots.__main__ import main

OCTOBER = "sora-2-2025-10-06"
DECEMBER = "sora-2-2025-12-08"


def row_of(snapshot_id: str, table: str) -> str:
    [row] = [line for line in table.splitlines() if line.split(" ", 1)[0] == snapshot_id]
    return row


class TestList:
    def test_each_snapshot_has_a_row_with_its_facts(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["list"]) == 0
        rows = row_of(DECEMBER, table := capsys.readouterr().out).split("  ")
        assert [cell.strip() for cell in rows if cell.strip()] == [
            DECEMBER,
            "2025-12-08",
            "sora-2, latest, alias",
            "25 s",
            "cameos, physics, seed, storyboards, style_tuning",
            "1",
            "0.10",
            "40",
            "api.openai.com 2026-09-24",
        ]
        assert "20 s" in row_of(OCTOBER, table)
        pro = row_of("sora-2-pro-2025-10-06", table).split()
        assert pro[5:9] == ["-", "1", "0.30", "-"]  # no feature, quota, prices from … to

    def test_the_columns_have_names_and_stand_in_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        main(["list"])
        header, *rows = capsys.readouterr().out.splitlines()[:4]
        for row, released in zip(rows, ["2025-10-06", "2025-12-08", "2025-10-06"], strict=True):
            assert row[header.index("released") :].startswith(released)

    def test_the_version_of_each_environment_is_below(self, capsys: pytest.CaptureFixture[str]) -> None:
        main(["list"])
        assert capsys.readouterr().out.splitlines()[-1] == (
            "environments: development: alias, test: latest, staging: latest, production: stable"
        )

    def test_own_snapshots_are_listed_and_what_is_not_known_is_a_question_mark(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "own.toml"
        file.write_text('[[snapshots]]\nid = "小橘猫-1"\n', encoding="utf-8")
        assert main(["list", "--catalog", str(file)]) == 0
        assert row_of("小橘猫-1", capsys.readouterr().out).split()[1:] == list("?-?????-")


class TestAdvise:
    @pytest.mark.parametrize(
        ("arguments", "first_line"),
        [
            ([], DECEMBER),
            (["--existing-workflow"], OCTOBER),
            (["--existing-workflow", "--seconds", "25"], DECEMBER),
            (["--storyboard"], DECEMBER),
            (["--cameos", "--existing-workflow"], DECEMBER),
            (["--physics", "--existing-workflow"], DECEMBER),
            (["--style-tuning", "--existing-workflow"], DECEMBER),
            (["--prototype"], f"sora-2 (today {DECEMBER})"),
        ],
    )
    def test_the_recommendation_comes_first_and_then_why(
        self, arguments: list[str], first_line: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["advise", *arguments]) == 0
        first, *reasons = capsys.readouterr().out.splitlines()
        assert first == first_line
        assert reasons
        assert all(reason.startswith("  - ") for reason in reasons)

    def test_where_nothing_suits_the_status_is_1(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["advise", "--seconds", "26"]) == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("error: No candidate can do this: ")


class TestBadCatalogueFiles:
    @pytest.mark.parametrize(
        ("content", "complaint"),
        [
            (b"not = = toml", "is not valid TOML"),
            (b'[[snapshots]]\nid = "wan"\nmax_seconds = -1', "snapshot 1 (wan), max_seconds: expected a number"),
            (b'[[snapshots]]\nid = "sora-2"', "'sora-2' is defined twice: in the built-in catalogue and in"),
            (b"\xff\xfe[\x00", "is not UTF-8 text"),
        ],
    )
    def test_the_file_and_its_fault_are_named(
        self, content: bytes, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "own.toml"
        file.write_bytes(content)
        assert main(["list", "--catalog", str(file)]) == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("error: ")
        assert str(file) in printed.err
        assert complaint in printed.err

    def test_a_file_that_is_not_there_is_named(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["advise", "--catalog", str(tmp_path / "none.toml")]) == 1
        assert str(tmp_path / "none.toml") in capsys.readouterr().err


class TestUsage:
    @pytest.mark.parametrize("arguments", [[], ["forget"], ["advise", "--seconds", "long"]])
    def test_what_is_not_understood_is_a_usage_error(
        self, arguments: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert "usage: python -m airflow_provider_sora.snapshots" in capsys.readouterr().err

    def test_it_runs_as_a_module(self) -> None:
        run = [sys.executable, "-m", "airflow_provider_sora.snapshots", "advise", "--seconds", "26"]
        done = subprocess.run(run, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert done.stderr.startswith("error: No candidate can do this")
