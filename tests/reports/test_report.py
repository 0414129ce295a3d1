"""The report: what it says, and that it is one file that asks for nothing, whatever prompts and servers wrote."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from typing import Any

import pytest
from comparison_documents import HOSTILE, JPEG, document, finding, measurement, pair, pictures, side

from airflow_provider_sora.evaluation.metrics import METRICS
from airflow_provider_sora.reports import plots
from airflow_provider_sora.reports.html import render
from airflow_provider_sora.reports.overview import failure_rows, finding_groups, verdict_words
from airflow_provider_sora.reports.pictures import PairPictures
from airflow_provider_sora.reports.readings import Criterion, by_difference

BASE_URL = "https://airflow.example/air"

#: Elements that load, run or send something.
ACTIVE = {"script", "iframe", "object", "embed", "link", "form", "input", "button", "base", "audio", "foreignobject"}


class Page(HTMLParser):
    """A report as a browser reads it.

    :param report: the file.
    """

    def __init__(self, report: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self._within: list[str] = []
        self.feed(report.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self._within.append(tag)

    def handle_data(self, data: str) -> None:
        if self._within[-1:] != ["style"]:
            self.words.append(data)

    def handle_endtag(self, tag: str) -> None:
        while self._within and self._within.pop() != tag:
            pass

    @property
    def text(self) -> str:
        """All its words, with single spaces."""
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of each element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


def report_of(whole: dict[str, Any], **arguments: Any) -> Page:
    """The report of a comparison with pictures of all its clips."""
    return Page(render(whole, pictures(whole), **arguments))


@pytest.fixture
def hostile() -> dict[str, Any]:
    """A comparison in which all that others write wants to be a page."""
    error = {"code": HOSTILE, "message": HOSTILE, "job": HOSTILE}
    failed = side(HOSTILE, "candidate", seconds=None, error=error, served_model=HOSTILE)
    there = side(HOSTILE, "baseline", seconds=9.0, served_model=HOSTILE, measurement=measurement(mismatches=[HOSTILE]))
    there["artifact"]["uri"] = f"s3://videos/{HOSTILE}.mp4"
    one = pair(HOSTILE, prompt=HOSTILE, candidate=failed, baseline=there)
    one["request"] |= {"size": HOSTILE, "style": HOSTILE}
    whole = document([one, pair(f"{HOSTILE}-2", prompt=HOSTILE * 9)], baseline=HOSTILE, candidate=HOSTILE)
    whole["findings"] = [finding("blur", label=HOSTILE, message=HOSTILE, unit=HOSTILE)]
    whole["suite"]["not_comparable"] = [
        {"key": HOSTILE, "place": HOSTILE, "prompt": HOSTILE, "lacks": "baseline", "faults": [HOSTILE]}
    ]
    whole["suite"]["invalid"] = [{"key": HOSTILE, "place": f"{HOSTILE}.", "message": HOSTILE}]
    whole["server"] = {"host": HOSTILE, "environment": HOSTILE}
    whole["suite"]["unfinished"] = [{"key": HOSTILE, "side": "candidate", "code": HOSTILE, "message": HOSTILE}]
    whole["multiplicity"] = [HOSTILE]
    whole["manifest"] = HOSTILE
    whole["made_by"] = {"dag_id": HOSTILE, "run_id": HOSTILE, "task_id": HOSTILE, "map_index": -1}
    return whole


@pytest.fixture
def undecided() -> dict[str, Any]:
    """Eight prompts that prove nothing, on which the candidate came off worse in some ways."""

    def ratio(estimate: float) -> dict[str, Any]:
        return {"difference": {"estimate": estimate, "lower": 0.4, "upper": 1.7}}

    def share(estimate: float, worse: int, better: int) -> dict[str, Any]:
        difference = {"estimate": estimate, "lower": -0.1, "upper": 1.0}
        return {"scale": "share", "limit": 0.05, "difference": difference, "worse": worse, "better": better}

    quieter = {
        "scale": "difference",
        "limit": 2,
        "unit": "LUFS",
        "difference": {"estimate": -3, "lower": -9, "upper": 9},
    }
    differing: list[tuple[str, str, float, dict[str, Any]]] = [
        ("failed", "Failed in the end", 1.0, share(0.0, 0, 0)),
        ("blur", "Blur", 0.95, ratio(1.2)),
        ("loudness", "Loudness", 0.4, quieter),
        ("motion", "Motion", 0.3, ratio(0.5)),
        ("frozen_seconds", "Frozen picture", 0.11, share(0.5, 5, 1)),
        ("render_ratio", "Time", 0.2, ratio(1.33)),
        ("silent_seconds", "Silence", 0.0039, share(1.0, 8, 0)),
    ]
    findings = [
        finding(name, label=label, p_value=p_value, verdict="inconclusive", pairs=8, **changes)
        for name, label, p_value, changes in differing
    ]
    return document(findings=findings, verdict="inconclusive")


class TestWhatItSays:
    def test_the_verdict_in_words_and_the_criteria_that_decided_it(self) -> None:
        findings = [finding("blur"), finding("render_ratio", group="benchmark", verdict="fail", label="Time")]
        page = report_of(document(findings=findings, verdict="fail"))
        assert "The candidate fails. It is surely worse than allowed in 1 of 2 criteria: Time." in page.text

    def test_that_faults_are_surely_more_and_perhaps_not_more_than_is_allowed(self) -> None:
        change = {"estimate": 0.04, "lower": 0.02, "upper": 0.07}
        rarely = {"scale": "share", "limit": 0.05, "difference": change, "worse": 12, "better": 0, "pairs": 300}
        findings = [finding("failed", label="Failed", verdict="fail", **rarely), finding("blur")]
        told = verdict_words(document(findings=findings, verdict="fail"))[1]
        assert told == (
            "In 1 of 2 criteria it is surely worse than the baseline, and not surely within what is allowed: Failed."
        )

    def test_what_was_let_pass_more_than_by_default(self) -> None:
        limits = {"failed": 0.25, "moderated": 0.25, "render_ratio": None}
        whole = document(lenient=list(limits), criteria={"alpha": 0.05, "min_prompts": 20, "limits": limits})
        told = "Failed in the end, Refused by moderation (+25 points); Time to render a second of video (only told)"
        assert f"More let pass than by default {told}" in report_of(whole).text
        assert "More let pass" not in report_of(document()).text

    def test_what_is_not_decided_and_why(self) -> None:
        findings = [finding("blur", verdict="inconclusive", message="There are too few prompts.")]
        page = report_of(document(findings=findings, verdict="inconclusive"))
        told = "Not decided. These prompts cannot settle 1 of 1 criteria, which does not look worse than allowed: Blur."
        assert told in page.text
        assert "There are too few prompts." in page.text

    def test_first_what_looks_worse_and_is_not_decided(self, undecided: dict[str, Any]) -> None:
        assert (
            "Not decided. Looks worse than allowed, but too few prompts to be sure: Silence (worse on 8 of 8), "
            "Frozen picture (worse on 5 of 8, better on 1), Time (1.33 times), Motion (0.5 times), Loudness (−3 LUFS). "
            "The other 2 do not, and need more prompts to be sure of."
        ) in report_of(undecided).text

    def test_the_one_that_does_not_look_worse_without_its_name(self, undecided: dict[str, Any]) -> None:
        undecided["findings"] = [each for each in undecided["findings"] if each["label"] != "Blur"]
        assert "The other one does not, and needs more prompts to be sure of." in report_of(undecided).text

    def test_undecided_criteria_in_the_order_of_what_chance_explains_least(self) -> None:
        findings = [
            finding(name, verdict="inconclusive", p_value=p_value)
            for name, p_value in {"blur": 0.9, "motion": None, "spatial": 0.2}.items()
        ]
        text = report_of(document(findings=findings, verdict="inconclusive")).text
        assert "cannot settle 3 of 3 criteria, none of which looks worse than allowed: Spatial, Blur, Motion." in text

    def test_findings_of_a_group_by_how_much_they_speak_against_the_candidate(self) -> None:
        told = [("absent", None), ("told", None), ("pass", 0.5), ("inconclusive", 0.6), ("pass", 0.1)]
        told += [("inconclusive", 0.2), ("fail", 0.003), ("fail", 0.001)]
        findings = [
            finding("blur", label=f"{verdict} {p_value}", verdict=verdict, p_value=p_value) for verdict, p_value in told
        ]
        ((_, rows),) = finding_groups(document(findings=findings))
        expected = ["fail 0.001", "fail 0.003", "inconclusive 0.2", "inconclusive 0.6"]
        assert [row.label for row in rows] == [*expected, "pass 0.5", "pass 0.1", "told None", "absent None"]
        assert "criteria: fail 0.001, fail 0.003." in verdict_words(document(findings=findings, verdict="fail"))[1]

    def test_that_nothing_was_judged(self) -> None:
        page = report_of(document(findings=[finding("motion", verdict="told", limit=None)], verdict="inconclusive"))
        assert "Nothing was judged" in page.text

    def test_who_made_it_of_what(self) -> None:
        text = report_of(document()).text
        assert "sora-2-2025-12-08 against sora-2-2025-10-06" in text
        assert "2026-11-23 02:00:00 UTC, by migration, run manual__1, task compare" in text
        assert "s3://videos/migration.jsonl" in text

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({}, "4.1 4.4 × 1.04 × 0.98 to 1.1 × 1.25 38"),
            ({"limit": None, "verdict": "told"}, "4.1 4.4 × 1.04 × 0.98 to 1.1 – 38"),
            ({"difference": {"estimate": 1.0, "lower": None, "upper": None}}, "4.1 4.4 × 1 – × 1.25 38"),
            ({"difference": None, "verdict": "absent", "baseline": None, "candidate": None}, "– – – – × 1.25 38"),
        ],
    )
    def test_a_ratio(self, changes: dict[str, Any], told: str) -> None:
        assert told in report_of(document(findings=[finding("blur", **changes)])).text

    def test_a_share_of_the_prompts_in_points(self) -> None:
        change = {"estimate": 0.0645, "lower": -0.02, "upper": 0.21}
        failed = finding("failed", scale="share", baseline=0.025, candidate=0.1, difference=change, limit=0.05)
        page = report_of(document(findings=[failed]))
        assert "2.5 % 10 % +6.45 points −2 to +21 points +5 points 38" in page.text

    def test_a_difference_in_its_unit_with_a_limit_either_way(self) -> None:
        change = {"estimate": -0.7, "lower": -1.1, "upper": 0.2}
        louder = finding("loudness", scale="difference", unit="LUFS", baseline=-19.4, difference=change, limit=2)
        page = report_of(document(findings=[louder]))
        assert "−19.4 LUFS 4.4 LUFS −0.7 LUFS −1.1 to +0.2 LUFS −2 to +2 LUFS 38" in page.text

    def test_reliability_without_what_nobody_knows(self) -> None:
        text = report_of(document()).text
        assert "Clips that came 38 of 40 (95 %) 38 of 40 (95 %)" in text
        assert "Rendering of 10 s of video, median 66.5 s 76.7 s" in text
        assert "Same bytes" not in text

    def test_what_could_not_be_compared_and_what_is_unfinished(self) -> None:
        whole = document()
        lacks = {"key": "x", "place": "line 3", "prompt": "Three scenes", "lacks": "baseline", "faults": ["too long"]}
        late = {"key": "late", "side": "candidate", "code": "job_timeout", "message": "It is still running."}
        odd = {"key": "night-3", "place": "line 9", "message": "the prompt is empty"}
        whole["suite"] |= {"not_comparable": [lacks], "unfinished": [late], "invalid": [odd]}
        text = report_of(whole).text
        assert "2 of 4 compared" in text
        assert "night-3 line 9 the prompt is empty" in text
        assert "Three scenes line 3 the baseline too long" in text
        assert "late candidate job_timeout It is still running." in text

    def test_why_a_clip_is_not_there(self) -> None:
        text = report_of(document([pair("a", candidate=side("a", "candidate", seconds=None))])).text
        assert "Candidate no clip The server broke off. server_error · the job: failed; it is not billed" in text

    def test_what_became_of_a_job_once(self) -> None:
        last = "most servers bill nothing for it"
        error = {"code": "x", "message": f"It broke off. The job has ended; {last}.", "job": f"ended as failed; {last}"}
        text = report_of(document([pair("a", candidate=side("a", "candidate", seconds=None, error=error))])).text
        assert text.count(last) == 1

    def test_the_scenes_of_a_storyboard(self) -> None:
        one = pair("a", prompt="")
        one["request"]["storyboard"] = {"scenes": [{"start": 0, "end": 5, "prompt": "A door opens"}]}
        assert "0 to 5 s: A door opens" in report_of(document([one])).text

    def test_repeats_by_their_number(self) -> None:
        text = report_of(document([pair("a"), pair("a", repeat=2)])).text
        assert "#2, repeat 2" in text


class TestMeasurements:
    @pytest.mark.parametrize(
        ("name", "measured", "changes", "is_beyond"),
        [
            ("blur", {"blur": 5.2}, {}, True),
            ("blur", {"blur": 5.1}, {}, False),
            ("blur", {"blur": 3.0}, {}, False),
            ("blur", {"blur": 9.9}, {"limit": None, "verdict": "told"}, False),
            ("loudness", {"loudness": -22.0}, {"scale": "difference", "limit": 2}, True),
            ("loudness", {"loudness": -18.0}, {"scale": "difference", "limit": 2}, False),
            ("frozen_seconds", {"frozen": [[1.0, 1.6]]}, {"scale": "share", "limit": 0.05}, True),
            ("frozen_seconds", {"frozen": [[1.0, 1.4]]}, {"scale": "share", "limit": 0.05}, False),
        ],
    )
    def test_beyond_the_criterion_are_marked(
        self, name: str, measured: dict[str, Any], changes: dict[str, Any], is_beyond: bool
    ) -> None:
        candidate = side("a", "candidate", seconds=9.0, measurement=measurement(**measured))
        page = report_of(document([pair("a", candidate=candidate)], findings=[finding(name, **changes)]))
        marked = [attributes for attributes in page.all("tr") if "beyond" in attributes.get("class", "")]
        assert len(marked) == is_beyond
        assert ("more than allowed" in page.text) == is_beyond

    def test_the_pairs_that_differ_most_are_named(self) -> None:
        pairs = [pair(f"p{number}") for number in range(8)]
        pairs[4] = pair("p4", candidate=side("p4", "candidate", seconds=None))
        pairs[6] = pair("p6", candidate=side("p6", "candidate", seconds=9.0, measurement=measurement(blur=6.0)))
        page = report_of(document(pairs))
        assert [each["href"] for each in page.all("a")][:3] == ["#pair-5", "#pair-7", "#pair-1"]
        assert {"id": "pair-5", "class": "pair"} in page.all("section")

    def test_of_those_that_differ_alike_they_are_those_that_exceed_more_criteria(self) -> None:
        changes: list[dict[str, Any]] = [
            {},
            {"frozen": [[1.0, 3.0]]},
            {"frozen": [[1.0, 3.0]], "loudness": -21.9, "silent": [[0.0, 0.3]]},
            {"frozen": [[1.0, 3.0]], "silent": [[0.0, 2.0]]},
            {"frozen": [[1.0, 3.0]], "silent": [[0.0, 8.0]], "loudness": -18.4},
            {"frozen": [[1.0, 3.0]], "silent": [[0.0, 8.0]], "blur": 4.2},
        ]
        pairs = [
            pair(f"p{number}", candidate=side(f"p{number}", "candidate", seconds=9.0, measurement=measurement(**each)))
            for number, each in enumerate(changes)
        ]
        criteria = {
            "frozen_seconds": Criterion(scale="share", limit=0.05),
            "silent_seconds": Criterion(scale="share", limit=0.05),
            "loudness": Criterion(scale="difference", limit=3),
            "blur": Criterion(scale="ratio", limit=0.25),
        }
        assert by_difference(pairs, criteria) == [4, 5, 3, 1, 2, 0]

    def test_a_picture_without_any_detail_is_far_from_one_that_has_some(self) -> None:
        flat, alike = measurement(spatial=0.0), measurement(spatial=60.9)
        pairs = [
            pair(key, candidate=side(key, "candidate", seconds=9.0, measurement=measured))
            for key, measured in (("alike", alike), ("flat", flat))
        ]
        assert by_difference(pairs, {"spatial": Criterion(scale="ratio", limit=0.5)}) == [1, 0]


class TestItsLinks:
    def test_lead_to_the_clips_below_airflows_address(self) -> None:
        one = pair("a b/ü&x")
        hrefs = [each["href"] for each in report_of(document([one]), base_url=f"{BASE_URL}/").all("a")]
        assert hrefs == [
            f"{BASE_URL}/sora/tasks/migration/manual__1/compare/-1?item=a+b%2F%C3%BC%26x.{name}.1"
            for name in ("baseline", "candidate")
        ]

    @pytest.mark.parametrize("base_url", [None, "", "javascript:alert(1)//"])
    def test_are_the_places_of_the_files_where_there_is_no_address(self, base_url: str | None) -> None:
        page = report_of(document([pair("a")]), base_url=base_url)
        assert page.all("a") == []
        assert "s3://videos/sora-2-2025-10-06/a.baseline.1.mp4" in page.text


class TestOneFile:
    @pytest.mark.parametrize("base_url", [None, BASE_URL])
    def test_holds_all_that_it_shows(self, hostile: dict[str, Any], base_url: str | None) -> None:
        page = report_of(hostile, base_url=base_url)
        loaded = [value for _, attributes in page.elements for name, value in attributes.items() if name == "src"]
        assert len(page.all("img")) == len(page.all("video")) == 3
        assert {value.partition(",")[0] for value in loaded} == {"data:image/jpeg;base64", "data:video/mp4;base64"}
        for tag, attributes in page.elements:
            assert tag not in ACTIVE
            for name, value in attributes.items():
                assert not name.startswith("on")
                assert name in ("href", "alt", "aria-label", "title") or "//" not in value or value.startswith("data:")
                assert name not in ("srcset", "action", "formaction", "background", "xmlns")
        for attributes in (*page.all("a"), *page.all("use")):
            (target,) = (value for name, value in attributes.items() if name in ("href", "xlink:href"))
            assert target.startswith(("#", f"{base_url}/sora/"))

    def test_forbids_everything_else_by_itself(self) -> None:
        (policy,) = (each for each in report_of(document()).all("meta") if "http-equiv" in each)
        assert policy["content"] == "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"

    def test_shows_what_others_wrote_as_they_wrote_it(self, hostile: dict[str, Any]) -> None:
        page = report_of(hostile)
        assert page.text.count("<script>alert('hacked')</script> $x^2$ {{ 7*7 }} </style> --> ]]>") > 20
        assert len(page.all("style")) == 1

    def test_takes_no_word_of_a_key_for_a_formula(self) -> None:
        pairs = [pair(key) for key in ("$x^2$", "$\\frac{", "<b>&amp;-->", "line\nbreak\x00\x1b", "雨の夜")]
        page = report_of(document(pairs))
        assert {"$x^2$", "$\\frac{", "<b>&amp;-->", "line�break��", "雨の夜"} <= set(page.words)

    def test_is_the_same_file_each_time(self, hostile: dict[str, Any]) -> None:
        first = render(hostile, pictures(hostile), base_url=BASE_URL)
        assert render(hostile, pictures(hostile), base_url=BASE_URL) == first

    def test_stands_half_of_a_surrogate_pair(self) -> None:
        assert "A ? kite" in report_of(document([pair("a", prompt="A \ud800 kite")])).text

    def test_shows_no_picture_that_is_none(self) -> None:
        whole = document([pair("a")])
        svg = PairPictures(baseline_sheet=b"<svg onload='alert(1)'/>", candidate_sheet=JPEG)
        page = Page(render(whole, {"a.1": svg}))
        assert [each["alt"] for each in page.all("img")] == ["Candidate: frames from its beginning to its end"]


class TestItsSize:
    @pytest.fixture
    def large(self) -> tuple[dict[str, Any], dict[str, PairPictures]]:
        """Twenty pairs with 400 kB of pictures each; the eighth differs most."""
        pairs = [pair(f"p{number}") for number in range(1, 21)]
        pairs[7] = pair("p8", candidate=side("p8", "candidate", seconds=9.0, measurement=measurement(blur=7.0)))
        whole = document(pairs)
        return whole, pictures(whole, sheet=JPEG + bytes(50_000), film=bytes(150_000))

    @pytest.mark.parametrize("limit", [400_000, 1_000_000, 3_000_000, 10_000_000])
    def test_stays_below_its_limit(self, large: tuple[dict[str, Any], dict[str, PairPictures]], limit: int) -> None:
        report = render(*large, limit_bytes=limit)
        assert len(report) <= limit
        # Less than a pair's pictures of it is not used.
        assert len(report) > min(limit, 11_000_000) - 560_000 or limit == 10_000_000

    def test_leaves_out_previews_first_and_says_so(self, large: tuple[dict[str, Any], dict[str, PairPictures]]) -> None:
        page = Page(render(*large, limit_bytes=4_000_000))
        assert len(page.all("img")) == 40
        assert 0 < len(page.all("video")) < 40
        left_out = 20 - len(page.all("video")) // 2
        assert f"stays below 4 MB, it leaves out the previews of {left_out} pairs; those that differ most" in page.text

    def test_keeps_the_pictures_of_the_pair_that_differs_most(
        self, large: tuple[dict[str, Any], dict[str, PairPictures]]
    ) -> None:
        page = Page(render(*large, limit_bytes=400_000))
        of_pair = [
            attributes["id"] if tag == "section" else "picture"
            for tag, attributes in page.elements
            if tag == "img" or "pair" in attributes.get("class", "")
        ]
        assert of_pair[of_pair.index("pair-8") + 1] == "picture"
        assert "it leaves out the pictures of" in page.text

    def test_leaves_out_no_word(self, large: tuple[dict[str, Any], dict[str, PairPictures]]) -> None:
        page = Page(render(*large, limit_bytes=1000))
        assert page.all("img") == page.all("video") == []
        assert "#20" in page.text
        assert "the pictures of 20 pairs and the previews of 20 pairs" in page.text

    def test_says_nothing_where_all_is_there(self, large: tuple[dict[str, Any], dict[str, PairPictures]]) -> None:
        assert "leaves out" not in Page(render(*large)).text


class TestItsPlots:
    def test_are_there_with_the_numbers_of_the_document(self) -> None:
        page = report_of(document([pair("a", candidate=side("a", "candidate", seconds=None)), pair("boat")]))
        assert len(page.all("svg")) == 3
        assert {"boat", "failed: server_error", "Candidate ÷ baseline"} <= set(page.words)

    def test_count_what_moderation_stopped_as_refused_and_not_as_a_first_attempt_that_failed(self) -> None:
        errors = [("moderation_blocked", "No."), ("VideoModeratedError", "No."), ("server_error", "It broke off.")]
        pairs = [
            pair(f"p{at}", candidate=side(f"p{at}", "candidate", seconds=None, error={"code": code, "message": why}))
            for at, (code, why) in enumerate(errors)
        ]
        assert [(row.label, row.baseline, row.candidate) for row in failure_rows(pairs)] == [
            ("first attempt failed", 0, 1),
            ("failed: server_error", 0, 1),
            ("refused: VideoModeratedError", 0, 1),
            ("refused: moderation_blocked", 0, 1),
        ]

    def test_do_not_count_what_was_never_begun_as_failed(self) -> None:
        left = {"code": "max_cost_usd", "message": "It was not begun."}
        one = pair("a", candidate=side("a", "candidate", seconds=None, error=left, attempts={}, has_ended=False))
        assert failure_rows([one]) == []

    def test_name_each_metric_in_full(self) -> None:
        findings = [finding(metric.name, label=metric.label, scale=metric.scale) for metric in METRICS]
        words = report_of(document([], findings=findings)).words
        assert all(words.count(metric.label) >= 2 for metric in METRICS)

    def test_take_their_colours_from_the_page(self) -> None:
        whole = document()
        drawn = re.findall(r"<svg.*?</svg>", render(whole, {}).decode(), flags=re.DOTALL)
        assert drawn
        for svg in drawn:
            assert "var(--text)" in svg
            assert not re.search(r"#[0-9a-f]{6}\b(?!\d)(?=[;\"])", svg)

    def test_are_of_the_prompts_that_became_slower_most(self) -> None:
        pairs = [
            pair(f"k{number}", candidate=side(f"k{number}", "candidate", seconds=60.0 + number)) for number in range(70)
        ]
        page = report_of(document(pairs))
        assert f"The {plots.MOST_ROWS} prompts that became slower most; 10 others are not shown." in page.text
        assert "k69" in page.words
        assert page.words.count("k3") < page.words.count("k69")

    def test_are_not_there_without_matplotlib_and_the_report_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        page = report_of(document())
        assert "install airflow-provider-sora[report]" in page.text
        assert page.all("svg") == []

    def test_draw_changes_without_a_limit_or_an_end(self) -> None:
        findings = [
            finding("motion", limit=None, verdict="told", difference={"estimate": 1.5, "lower": None, "upper": None}),
            finding("failed", scale="share", limit=0.05, difference={"estimate": 0.1, "lower": None, "upper": 0.3}),
            finding("loudness", scale="difference", limit=None, difference={"estimate": 1, "lower": 0, "upper": 2}),
            finding("cuts_missing", scale="share", difference=None, verdict="absent"),
        ]
        page = report_of(document([], findings=findings))
        drawn = [word for word in page.words if word in ("Motion", "Failed", "Loudness", "Cuts missing")]
        assert sorted(drawn) == ["Cuts missing", "Failed", "Failed", "Loudness", "Motion", "Motion"]
