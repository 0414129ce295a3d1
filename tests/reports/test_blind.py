"""The blind report: whoever reads it, or its source, learns nothing of which side is which."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

import pytest
from comparison_documents import BASELINE, CANDIDATE, document, finding, measurement, pair, pictures, side

from airflow_provider_sora.reports.html import render
from airflow_provider_sora.reports.pictures import PairPictures
from airflow_provider_sora.reports.sides import Blind
from airflow_provider_sora.rollouts.exposure import Variant

DIGEST = f"sha256:{'ab' * 32}"


@pytest.fixture
def whole() -> dict[str, Any]:
    """A comparison whose sides differ in all that is on record."""
    failed = side("boat", "candidate", seconds=None)
    slower = side("kite", "candidate", seconds=97.31, measurement=measurement(blur=6.3, mismatches=["Too long."]))
    slower["attempts"] = {"submissions": 3, "first_attempt_failed": True}
    slower["usage"]["estimated_cost_usd"] = 7.77
    pairs = [pair("kite", candidate=slower), pair("boat", candidate=failed), pair("owl"), pair("owl", repeat=2)]
    findings = [finding("blur", verdict="fail", message="It is worse."), finding("render_ratio", group="benchmark")]
    whole = document(pairs, findings=findings, verdict="fail")
    late = {"key": "boat", "side": "candidate", "code": "job_timeout", "message": "It is still running."}
    lacks = {"key": "x", "place": "line 3", "prompt": "Scenes", "lacks": "baseline", "faults": ["too long"]}
    whole["suite"] |= {"unfinished": [late], "not_comparable": [lacks]}
    return whole


def films(whole: dict[str, Any]) -> dict[str, PairPictures]:
    """Pictures in whose bytes nothing tells the side."""
    return {
        name: PairPictures(
            **{
                f"{each}_{kind}": data.replace(b"baseline", b"B").replace(b"candidate", b"C")
                for each in ("baseline", "candidate")
                for kind in ("sheet", "preview")
                if (data := getattr(shown, f"{each}_{kind}"))
            }
        )
        for name, shown in pictures(whole).items()
    }


def blind(whole: dict[str, Any], a: Variant = "candidate", **arguments: Any) -> str:
    """The blind report."""
    shown = films(whole)
    return render(whole, shown, blind=Blind(a=a, digest=DIGEST), **arguments).decode()


def swapped(whole: dict[str, Any], shown: dict[str, PairPictures]) -> tuple[dict[str, Any], dict[str, PairPictures]]:
    """The comparison in which each side is the other one."""
    turned = deepcopy(whole)
    for each in turned["pairs"]:
        each["baseline"], each["candidate"] = each["candidate"], each["baseline"]
    return turned, {
        name: PairPictures(
            baseline_sheet=each.candidate_sheet,
            candidate_sheet=each.baseline_sheet,
            baseline_preview=each.candidate_preview,
            candidate_preview=each.baseline_preview,
        )
        for name, each in shown.items()
    }


@pytest.mark.parametrize("a", ["baseline", "candidate"])
@pytest.mark.parametrize(
    "word",
    [
        *("baseline", "candidate", BASELINE, CANDIDATE, "2025"),
        *("97.31", "121.6", "53.17", "7.77", "0.83", "66.46", "USD", "queue", "submission"),
        *("kite.1", "boat.", "s3://", "videos/", ".mp4", "://", "migration", "manual__1", "Too long."),
        *("server_error", "broke off", "not billed", "job_timeout", "line 3", "It is worse.", "fails", "more than"),
    ],
)
def test_nothing_in_it_names_a_side(whole: dict[str, Any], a: Variant, word: str) -> None:
    assert word.lower() not in blind(whole, a, base_url="https://airflow.example").lower()


def test_the_open_report_has_these_words(whole: dict[str, Any]) -> None:
    told = render(whole, films(whole), base_url=None).decode()
    for word in (
        "baseline",
        BASELINE,
        "97.3",
        "7.77",
        "s3://",
        "Too long.",
        "server_error",
        "It is worse.",
        "more than",
    ):
        assert word in told


@pytest.mark.parametrize("limit", [25_000_000, 13_000, 10_000])
def test_it_is_the_same_file_when_the_sides_change_places(whole: dict[str, Any], limit: int) -> None:
    turned, shown = swapped(whole, films(whole))
    asked = {"limit_bytes": limit}
    first = render(whole, films(whole), blind=Blind(a="candidate", digest=DIGEST), **asked)
    assert render(turned, shown, blind=Blind(a="baseline", digest=DIGEST), **asked) == first
    assert render(whole, films(whole), blind=Blind(a="baseline", digest=DIGEST), **asked) != first


def test_a_is_the_side_that_the_order_says(whole: dict[str, Any]) -> None:
    for a, blurs in (("baseline", ["4.1 px", "6.3 px"]), ("candidate", ["6.3 px", "4.1 px"])):
        row = re.search(r"<tr><th[^>]*>Blur</th>(.*?)</tr>", blind(whole, a), flags=re.DOTALL)  # type: ignore[arg-type]
        assert row is not None
        assert re.findall(r">([^<>]+ px)<", row[1]) == blurs


def test_it_has_the_prompts_the_pictures_and_the_seal(whole: dict[str, Any]) -> None:
    told = blind(whole)
    assert told.count("<img ") == told.count("<video ") == 7
    assert told.count('<p class="none">no clip</p>') == 1
    assert "A kite over the sea" in told
    assert re.search(rf"The order is sealed</dt><dd[^>]*>{DIGEST}<", told)


def test_it_says_what_it_leaves_out(whole: dict[str, Any]) -> None:
    assert "it leaves out the pictures of 4 pairs and the previews of 4 pairs" in blind(whole, limit_bytes=1000)


def test_it_says_first_what_to_do_with_it(whole: dict[str, Any]) -> None:
    begins = blind(whole).partition("</h1>")[2].strip()
    assert begins.startswith(
        "<p>Look at each pair, then give your marks in Airflow, under <i>Required Actions</i>.</p>"
    )


def test_it_says_that_its_pictures_are_small_and_silent(whole: dict[str, Any]) -> None:
    assert "how sharp they look is how sharp a small picture is" in blind(whole)
