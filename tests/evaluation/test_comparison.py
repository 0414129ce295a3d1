"""Baseline and candidate on the same prompts, and what follows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from airflow_provider_sora.batches.summary import ItemOutcome, blank_entry
from airflow_provider_sora.evaluation import Criteria
from airflow_provider_sora.evaluation.comparison import Comparison, compare
from airflow_provider_sora.evaluation.metrics import METRICS
from airflow_provider_sora.evaluation.pairs import Pair, Side
from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.media.measurement import Measurement
from airflow_provider_sora.snapshots.resolution import Reason, Resolution
from airflow_provider_sora.videos.result import VideoResult

PROMPTS = 80

CLIP = Measurement(
    asked_seconds=8,
    asked_cuts=(3.0,),
    duration=8.0,
    width=1280,
    height=720,
    fps=24.0,
    audio=True,
    av_offset=0.0,
    av_end_offset=0.02,
    blur=4.0,
    blur_p90=5.0,
    spatial=60.0,
    temporal=12.0,
    motion=3.0,
    motion_jitter=0.2,
    frozen=(),
    black=(),
    cuts=(3.0,),
    cuts_missing=(),
    cuts_unexpected=(),
    loudness=-20.0,
    true_peak=-3.0,
    clipped_share=0.0,
    silent=(),
)

#: A clip of which nothing can be seen or heard.
BROKEN = Measurement(duration=8.0, width=1280, height=720, fps=24.0, audio=True, mismatches=("No frame is whole.",))

#: Those of all metrics that are judged unless an author says otherwise.
JUDGED = {metric.name for metric in METRICS if metric.limit is not None}


def entry(
    key: str,
    side: str,
    *,
    repeat: int = 1,
    seconds: float = 40.0,
    error: str | None = None,
    rescued: bool = False,
    queue_seconds: float | None = 2.0,
    sha256: str = "abc",
) -> dict[str, Any]:
    """An entry of a manifest, as a batch writes it."""
    result = VideoResult(
        version=Resolution(
            requested=f"sora-2-of-the-{side}",
            snapshot=f"sora-2-of-the-{side}",
            reason=Reason.STATIC,
            environment="development",
            resolved_at="2026-11-23T02:00:00.000Z",
        ),
        request={"prompt": f"a fox, {key}", "seconds": 8, "digest": f"sha256:{key}"},
        video_id="video_1",
        status="completed" if error is None else "failed",
        submitted_at="2026-11-23T02:00:00.000Z",
        completed_at="2026-11-23T02:00:40.000Z",
        usage={"video_seconds": 8, "quota_units": 1.0, "estimated_cost_usd": 0.8},
        submissions=2 if rescued else 1,
        first_attempt_failed=rescued,
        artifact=None if error else {"uri": f"s3://videos/{key}.mp4", "sha256": sha256, "duration": 8.0, "audio": True},
    )
    if error is not None:
        result = result.failed(code=error, message="It ended without a clip.", job="ended; it is billed")
    told = result.to_dict()
    told["timing"] |= {"seconds": seconds, "queue_seconds": queue_seconds, "first_progress_seconds": 3.0}
    outcome = "succeeded" if error is None else "failed"
    return {"key": f"{key}.{side}.{repeat}", "place": "line 1", "outcome": outcome, "labels": {}, **told}


def clip(key: str, side: str, measured: Measurement | None = CLIP, **changes: Any) -> Side:
    """A side of a pair, with a measurement where it has a clip."""
    made = entry(key, side, **changes)
    has_clip = measured is not None and made["artifact"] is not None
    return Side(entry=made, measurement=measured.to_dict() if measured and has_clip else None)


def pair(key: str, baseline: Side, candidate: Side, *, repeat: int = 1) -> Pair:
    return Pair(
        key=key, prompt=f"a fox, {key}", request={"seconds": 8}, repeat=repeat, baseline=baseline, candidate=candidate
    )


def suite(
    candidate: Callable[[str], Side] = lambda key: clip(key, "candidate"),
    baseline: Callable[[str], Side] = lambda key: clip(key, "baseline"),
    *,
    prompts: int = PROMPTS,
) -> list[Pair]:
    return [pair(f"prompt-{at}", baseline(f"prompt-{at}"), candidate(f"prompt-{at}")) for at in range(prompts)]


def every(nth: int, faulty: Callable[[str], Side]) -> Callable[[str], Side]:
    """A candidate with a fault in every nth of its clips."""
    return lambda key: faulty(key) if int(key.removeprefix("prompt-")) % nth == 0 else clip(key, "candidate")


def told(comparison: Comparison) -> dict[str, Any]:
    """Its document, by way of JSON."""
    document: dict[str, Any] = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    return document


def verdicts(comparison: Comparison) -> dict[str, str]:
    return {finding.name: finding.verdict for finding in comparison.findings}


class TestACandidateThatIsAsGood:
    def test_passes_by_all_that_is_judged(self) -> None:
        comparison = compare(suite(), Criteria())
        assert comparison.verdict == "pass"
        assert comparison.evidence == {"replay": "pass", "benchmark": "pass"}
        assert {name for name, verdict in verdicts(comparison).items() if verdict == "pass"} == JUDGED

    def test_is_inconclusive_where_the_prompts_are_few(self) -> None:
        comparison = compare(suite(prompts=40), Criteria())
        assert comparison.verdict == "inconclusive"
        needed = {finding.needed for finding in comparison.findings if finding.verdict == "inconclusive"}
        assert needed == {72}

    def test_whose_clips_vary_as_the_baselines_do_fails_by_nothing(self) -> None:
        dice = Random(1)

        def varied(key: str, side: str) -> Side:
            measured = replace(CLIP, frozen=((1.0, 3.0),) if dice.random() < 0.2 else (), blur=dice.gauss(4, 0.3))
            return clip(key, side, measured, seconds=40 * dice.lognormvariate(0, 0.2), rescued=dice.random() < 0.1)

        pairs = suite(lambda key: varied(key, "candidate"), lambda key: varied(key, "baseline"))
        comparison = compare(pairs, Criteria(limits={"blur": 0.1}))
        assert comparison.verdict == "inconclusive"
        assert {"pass", "inconclusive", "told"} == set(verdicts(comparison).values())
        assert verdicts(comparison)["blur"] == verdicts(comparison)["render_ratio"] == "pass"


#: A fault, and the criterion that it shows in.
FAULTS: dict[str, Callable[[str], Side]] = {
    "failed": lambda key: clip(key, "candidate", error="VideoFailedError"),
    "moderated": lambda key: clip(key, "candidate", error="VideoModeratedError"),
    "first_attempt_failed": lambda key: clip(key, "candidate", rescued=True),
    "mismatches": lambda key: clip(key, "candidate", replace(CLIP, mismatches=("The size is 640x360.",))),
    "undecodable": lambda key: clip(key, "candidate", BROKEN),
    "frozen_seconds": lambda key: clip(key, "candidate", replace(CLIP, frozen=((2.0, 5.0),))),
    "black_seconds": lambda key: clip(key, "candidate", replace(CLIP, black=((0.0, 1.0),))),
    "silent_seconds": lambda key: clip(key, "candidate", replace(CLIP, silent=((0.0, 8.0),))),
    "clipped_share": lambda key: clip(key, "candidate", replace(CLIP, clipped_share=0.1)),
    "cuts_missing": lambda key: clip(key, "candidate", replace(CLIP, cuts=(), cuts_missing=(3.0,))),
    "cuts_unexpected": lambda key: clip(key, "candidate", replace(CLIP, cuts=(3.0, 6.0), cuts_unexpected=(6.0,))),
    "av_offset": lambda key: clip(key, "candidate", replace(CLIP, av_offset=-0.2)),
    "av_end_offset": lambda key: clip(key, "candidate", replace(CLIP, av_end_offset=-2.0)),
    "sound_missing": lambda key: clip(key, "candidate", replace(CLIP, audio=False)),
    "render_ratio": lambda key: clip(key, "candidate", seconds=70.0),
    "blur": lambda key: clip(key, "candidate", replace(CLIP, blur=6.0)),
    "motion": lambda key: clip(key, "candidate", replace(CLIP, motion=1.5)),
    "loudness": lambda key: clip(key, "candidate", replace(CLIP, loudness=-12.0)),
    "duration_error": lambda key: clip(key, "candidate", replace(CLIP, duration=6.0)),
    "queue_seconds": lambda key: clip(key, "candidate", queue_seconds=9.0),
}


class TestAFault:
    @pytest.mark.parametrize("name", FAULTS)
    def test_shows_in_its_own_criterion_and_in_no_other(self, name: str) -> None:
        limits = {"blur": 0.1, "motion": 0.2, "loudness": 2.0, "duration_error": 0.5, "queue_seconds": 0.5}
        # A share tells a fault of some clips, the middle of a suite one of most.
        is_share = next(metric.scale for metric in METRICS if metric.name == name) == "share"
        pairs = suite(every(6 if is_share else 1, FAULTS[name]), prompts=120)
        found = verdicts(compare(pairs, Criteria(limits=limits)))
        # What failed in the end failed at the first attempt too.
        shown = {name, "first_attempt_failed"} if name == "failed" else {name}
        assert {each for each, verdict in found.items() if verdict == "fail"} == shown
        assert {each for each, verdict in found.items() if verdict == "pass"} == JUDGED.union(limits) - shown

    def test_of_the_clips_leaves_the_benchmark_as_it_is(self) -> None:
        comparison = compare(suite(FAULTS["frozen_seconds"]), Criteria())
        assert (comparison.verdict, comparison.evidence) == ("fail", {"replay": "fail", "benchmark": "pass"})

    def test_of_the_times_leaves_the_replay_as_it_is(self) -> None:
        comparison = compare(suite(FAULTS["render_ratio"]), Criteria())
        assert (comparison.verdict, comparison.evidence) == ("fail", {"replay": "pass", "benchmark": "fail"})

    def test_of_the_baseline_is_none_of_the_candidate(self) -> None:
        pairs = suite(baseline=lambda key: clip(key, "baseline", replace(CLIP, frozen=((2.0, 5.0),))))
        assert compare(pairs, Criteria()).verdict == "pass"

    def test_of_both_is_none_of_the_candidate(self) -> None:
        def frozen(side: str) -> Callable[[str], Side]:
            return lambda key: clip(key, side, replace(CLIP, frozen=((2.0, 5.0),)))

        comparison = compare(suite(frozen("candidate"), frozen("baseline")), Criteria())
        assert comparison.verdict == "pass"


class TestAPairWithoutAClip:
    def test_counts_as_a_failure_and_for_no_measurement(self) -> None:
        comparison = compare(suite(every(8, FAULTS["failed"])), Criteria())
        findings = {finding.name: finding for finding in comparison.findings}
        assert (findings["failed"].pairs, findings["failed"].worse) == (80, 10)
        assert findings["blur"].pairs == findings["render_ratio"].pairs == 70
        assert told(comparison)["suite"]["compared"] == 70

    def test_that_moderation_stopped_is_no_failure(self) -> None:
        findings = {each.name: each for each in compare(suite(every(8, FAULTS["moderated"])), Criteria()).findings}
        assert (findings["moderated"].pairs, findings["moderated"].worse) == (80, 10)
        assert (findings["failed"].pairs, findings["failed"].worse) == (70, 0)

    def test_that_was_never_begun_counts_for_nothing_and_is_told(self) -> None:
        left = blank_entry(
            key="prompt-0.candidate.1",
            place="line 2",
            outcome=ItemOutcome.LEFT,
            labels={},
            requested="sora-2",
            prompt="a fox",
            code="BudgetExceeded",
            message="The limit was reached.",
        )
        pairs = suite(every(PROMPTS, lambda key: Side(entry=left)))
        comparison = compare(pairs, Criteria())
        assert {finding.pairs for finding in comparison.findings} == {PROMPTS - 1}
        assert comparison.verdict == "pass"
        assert told(comparison)["suite"] == {
            "prompts": PROMPTS,
            "compared": PROMPTS - 1,
            "repeats": 1,
            "unfinished": [
                {
                    "key": "prompt-0",
                    "side": "candidate",
                    "code": "BudgetExceeded",
                    "message": "The limit was reached.",
                }
            ],
        }


class TestANumberThatNoPairHas:
    def test_is_absent_with_the_commonest_reason_and_does_not_count(self) -> None:
        def without(side: str) -> Callable[[str], Side]:
            lacking = replace(CLIP, frozen=None, absent={"frozen_seconds": "this build of FFmpeg has no freezedetect"})
            return lambda key: clip(key, side, lacking, queue_seconds=None)

        comparison = compare(suite(without("candidate"), without("baseline")), Criteria())
        found = {finding.name: finding for finding in comparison.findings}
        assert found["frozen_seconds"].verdict == found["queue_seconds"].verdict == "absent"
        assert found["frozen_seconds"].message == (
            "Frozen picture was not compared: this build of FFmpeg has no freezedetect."
        )
        assert found["queue_seconds"].message == (
            "Time in the queue was not compared: no prompt has this time on record on both sides."
        )
        assert found["frozen_seconds"].difference is found["frozen_seconds"].baseline is None
        assert comparison.verdict == "pass"

    def test_is_absent_where_it_is_infinite(self) -> None:
        # As the loudness of a clip without a sound to hear.
        pairs = suite(lambda key: clip(key, "candidate", replace(CLIP, loudness=float("-inf"))))
        assert verdicts(compare(pairs, Criteria(limits={"loudness": 1})))["loudness"] == "absent"

    def test_is_compared_where_some_pairs_have_it(self) -> None:
        pairs = suite(every(2, lambda key: clip(key, "candidate", replace(CLIP, blur=None))))
        assert next(each.pairs for each in compare(pairs, Criteria()).findings if each.name == "blur") == PROMPTS // 2

    def test_proves_nothing_where_it_is_all_there_is(self) -> None:
        comparison = compare(suite(), Criteria(limits=dict.fromkeys(Criteria().limits)))
        assert comparison.evidence == {"replay": "inconclusive", "benchmark": "inconclusive"}
        assert comparison.verdict == compare([], Criteria()).verdict == "inconclusive"


class TestRepeats:
    @pytest.mark.parametrize("name", ["frozen_seconds", "mismatches", "cuts_missing"])
    def test_do_not_hide_what_befalls_two_of_five(self, name: str) -> None:
        pairs = [
            pair(key, clip(key, "baseline", repeat=repeat), made(key), repeat=repeat)
            for key in (f"prompt-{at}" for at in range(PROMPTS))
            for repeat in range(1, 6)
            for made in [FAULTS[name] if repeat < 3 else lambda key: clip(key, "candidate")]
        ]

        assert verdicts(compare(pairs, Criteria()))[name] == "fail"

    def test_of_a_prompt_are_no_prompts(self) -> None:
        once = suite()
        pairs = [replace(each, repeat=repeat) for each in once for repeat in (1, 2, 3)]
        document, alone = told(compare(pairs, Criteria())), told(compare(once, Criteria()))
        assert (document["suite"]["prompts"], document["suite"]["repeats"]) == (PROMPTS, 3)
        assert document["findings"] == alone["findings"]

    def test_give_their_median_and_a_prompt_fails_more_often_by_any_of_them(self) -> None:
        def rendered(key: str, repeat: int) -> Pair:
            # The first repeat fails or takes an hour, the others do neither.
            odd = {"error": "VideoFailedError"} if repeat == 1 and key == "prompt-0" else {}
            seconds = 3600.0 if repeat == 2 else 40.0
            return pair(
                key,
                clip(key, "baseline", repeat=repeat),
                clip(key, "candidate", repeat=repeat, seconds=seconds, **odd),
                repeat=repeat,
            )

        pairs = [rendered(f"prompt-{at}", repeat) for at in range(20) for repeat in (1, 2, 3)]
        found = {finding.name: finding for finding in compare(pairs, Criteria()).findings}
        assert (found["failed"].pairs, found["failed"].worse) == (20, 1)
        assert found["failed"].candidate == pytest.approx(1 / 60)
        assert found["total_seconds"].worse == 1
        assert found["total_seconds"].candidate == 40.0

    def test_that_are_there_twice_are_refused(self) -> None:
        with pytest.raises(
            ConfigurationError, match=r"1 pairs are there more than once, such as 'prompt-0', repeat 1\."
        ):
            compare([*suite(), suite()[0]], Criteria())


class TestTooFewClips:
    def test_let_nothing_pass_where_both_sides_fail_alike(self) -> None:
        comparison = compare(
            suite(FAULTS["failed"], lambda key: clip(key, "baseline", error="VideoFailedError")), Criteria()
        )

        assert (comparison.verdict, set(comparison.evidence.values())) == ("inconclusive", {"inconclusive"})
        assert "Only 0 of 80 prompts have a clip on both sides" in comparison.doubts[0]

    def test_that_can_be_decoded_let_nothing_pass(self) -> None:
        pairs = suite(lambda key: clip(key, "candidate", BROKEN), lambda key: clip(key, "baseline", BROKEN))
        comparison = compare(pairs, Criteria())

        assert (comparison.verdict, comparison.evidence["replay"]) == ("inconclusive", "inconclusive")
        assert "Only 0 of 80 prompts have a clip on both sides that can be decoded" in comparison.doubts[0]

    def test_that_can_be_decoded_are_found_though_all_clips_differ_from_what_was_asked(self) -> None:
        odd = replace(CLIP, mismatches=("The size is 1280x704.",))
        pairs = suite(
            lambda key: clip(key, "candidate", BROKEN if int(key.removeprefix("prompt-")) % 4 == 0 else odd),
            lambda key: clip(key, "baseline", odd),
        )
        found = verdicts(compare(pairs, Criteria()))

        assert {name for name, verdict in found.items() if verdict == "fail"} == {"undecodable"}

    def test_of_a_small_suite_are_told(self) -> None:
        comparison = compare(suite(prompts=8), Criteria())

        [doubt] = comparison.doubts
        assert doubt.startswith("The suite has 8 prompts that both can render, fewer than min_prompts, 20")
        assert compare(suite(prompts=8), Criteria(min_prompts=8)).doubts == ()


class TestTimes:
    @staticmethod
    def lasting(of: str, seconds: float | None) -> Callable[[str], Side]:
        def made(key: str) -> Side:
            one = clip(key, of)
            return Side(
                entry={**one.entry, "timing": {**one.entry["timing"], "seconds": seconds}}, measurement=one.measurement
            )

        return made

    @pytest.mark.parametrize(
        ("seconds", "told"),
        [
            (None, "no prompt has this time on record on both sides"),
            (2, "half of the baseline's clips took less than 3 s"),
            (0, "half of the baseline's clips took less than 3 s"),
        ],
    )
    def test_that_nobody_can_tell_let_the_benchmark_not_pass(self, seconds: float | None, told: str) -> None:
        pairs = suite(self.lasting("candidate", seconds), self.lasting("baseline", seconds))
        comparison = compare(pairs, Criteria())

        assert comparison.evidence == {"replay": "pass", "benchmark": "inconclusive"}
        finding = next(each for each in comparison.findings if each.name == "render_ratio")
        assert (finding.verdict, finding.difference) == ("inconclusive", None)
        assert told in finding.message
        assert 'limits={"render_ratio": None}' in finding.message

    def test_that_nobody_can_tell_are_absent_where_nobody_wants_them(self) -> None:
        pairs = suite(self.lasting("candidate", None), self.lasting("baseline", None))
        comparison = compare(pairs, Criteria(limits={"render_ratio": None}))

        assert comparison.evidence == {"replay": "pass", "benchmark": "pass"}
        assert verdicts(comparison)["render_ratio"] == "absent"

    def test_of_0_seconds_count_as_half_a_second_and_leave_no_prompt_out(self) -> None:
        slow, quick = self.lasting("candidate", 8), self.lasting("candidate", 0)
        pairs = suite(lambda key: quick(key) if key == "prompt-0" else slow(key), self.lasting("baseline", 8))
        finding = next(each for each in compare(pairs, Criteria()).findings if each.name == "render_ratio")

        assert finding.pairs == PROMPTS
        assert (finding.worse, finding.better, finding.same) == (0, 1, PROMPTS - 1)


class TestPromptsThatOnlyTheBaselineCanRender:
    def test_let_nothing_pass_and_are_counted(self) -> None:
        comparison = compare(suite(), Criteria(), lacking=7)

        assert comparison.verdict == "inconclusive"
        assert "The candidate cannot render 7 of the suite's prompts" in comparison.doubts[0]


class TestClipsOfAnotherKindThatNobodyAskedFor:
    HALF = replace(CLIP, width=640, height=360, blur=2.4, blur_p90=3.0)

    def halved(self) -> list[Pair]:
        return suite(lambda key: clip(key, "candidate", self.HALF))

    def test_of_half_the_size_are_not_taken_for_sharper_ones_and_let_nothing_pass(self) -> None:
        comparison = compare(self.halved(), Criteria(limits={"blur": 0.1}))
        found = {finding.name: finding for finding in comparison.findings}

        assert (comparison.verdict, found["blur"].verdict, found["blur_p90"].verdict) == (
            "inconclusive",
            "absent",
            "absent",
        )
        assert "are not of the same size" in found["blur"].message
        [doubt] = comparison.doubts
        assert "80 of 80 pairs are not of the same size (baseline: 1280x720, candidate: 640x360)" in doubt

    def test_where_a_size_was_asked_for_are_a_mismatch_and_no_doubt(self) -> None:
        asked = [replace(pair, request={**pair.request, "size": "1280x720"}) for pair in self.halved()]

        assert compare(asked, Criteria()).doubts == ()

    def test_where_one_side_has_none_are_no_doubt(self) -> None:
        pairs = suite(every(40, lambda key: clip(key, "candidate", error="VideoFailedError")))

        assert compare(pairs, Criteria()).doubts == ()

    @pytest.mark.parametrize(("fps", "is_doubted"), [(12.0, True), (22.0, True), (23.976, False), (30.0, False)])
    def test_of_fewer_frames_a_second_let_nothing_pass(self, fps: float, is_doubted: bool) -> None:
        comparison = compare(suite(lambda key: clip(key, "candidate", replace(CLIP, fps=fps))), Criteria())

        assert comparison.verdict == ("inconclusive" if is_doubted else "pass")
        assert [f"({fps:g}, and not 24)" in doubt for doubt in comparison.doubts] == [True] * is_doubted


class TestAnotherModelThanTheOneThatWasAskedFor:
    @staticmethod
    def served(side: Side, model: str | None) -> Side:
        return replace(side, entry={**side.entry, "version": {**side.entry["version"], "served_model": model}})

    def test_lets_nothing_pass_and_is_told(self) -> None:
        pairs = suite(every(40, lambda key: self.served(clip(key, "candidate"), "sora-1")))
        comparison = compare(pairs, Criteria())

        assert (comparison.verdict, set(comparison.evidence.values())) == ("inconclusive", {"inconclusive"})
        [doubt] = comparison.doubts
        assert "sora-1 made 2 of the candidate's clips, and not sora-2-of-the-candidate" in doubt
        assert told(comparison)["doubts"] == [doubt]

    def test_does_not_hide_that_the_candidate_fails(self) -> None:
        pairs = suite(lambda key: self.served(FAULTS["frozen_seconds"](key), "sora-1"))

        assert compare(pairs, Criteria()).verdict == "fail"

    @pytest.mark.parametrize("model", [None, "sora-2-of-the-candidate", "gateway/sora-2-of-the-candidate"])
    def test_is_not_seen_in_the_same_one_or_in_silence(self, model: str | None) -> None:
        comparison = compare(suite(lambda key: self.served(clip(key, "candidate"), model)), Criteria())

        assert (comparison.verdict, comparison.doubts) == ("pass", ())


class TestReliability:
    def test_is_told_of_each_side(self) -> None:
        pairs = suite(every(8, FAULTS["failed"]), lambda key: clip(key, "baseline", rescued=key.endswith("7")))
        assert told(compare(pairs, Criteria()))["reliability"] == {
            "baseline": {
                "seconds_per_10s": 50.0,
                "first_progress_seconds": 3.0,
                "queue_seconds": 2.0,
                "success_rate": [80, 80],
                "first_attempt_rate": [72, 80],
                "rescued": [8, 8],
                "same_bytes_on_repeat": None,
                "spread": 1.0,
            },
            "candidate": {
                "seconds_per_10s": 50.0,
                "first_progress_seconds": 3.0,
                "queue_seconds": 2.0,
                "success_rate": [70, 80],
                "first_attempt_rate": [70, 80],
                "rescued": [0, 10],
                "same_bytes_on_repeat": None,
                "spread": 1.0,
            },
        }

    def test_tells_whether_the_same_request_brings_the_same_bytes(self) -> None:
        def rendered(at: int, repeat: int) -> Pair:
            key = f"prompt-{at}"
            moody = f"{repeat if at == 0 else 1}"
            return pair(
                key,
                clip(key, "baseline", repeat=repeat),
                clip(key, "candidate", repeat=repeat, sha256=moody),
                repeat=repeat,
            )

        for repeats, baseline, candidate in ((2, [5, 5], [4, 5]), (1, None, None)):
            pairs = [rendered(at, repeat) for at in range(5) for repeat in range(1, repeats + 1)]
            reliability = compare(pairs, Criteria()).reliability
            assert reliability["baseline"]["same_bytes_on_repeat"] == baseline
            assert reliability["candidate"]["same_bytes_on_repeat"] == candidate

    def test_of_nothing_is_nothing(self) -> None:
        assert compare([], Criteria()).reliability["candidate"] == {
            "seconds_per_10s": None,
            "first_progress_seconds": None,
            "queue_seconds": None,
            "success_rate": [0, 0],
            "first_attempt_rate": [0, 0],
            "rescued": [0, 0],
            "same_bytes_on_repeat": None,
            "spread": None,
        }


class TestTheDocument:
    def test_has_what_others_read(self) -> None:
        document = told(compare(suite(), Criteria(limits={"blur": 1})))
        assert list(document) == [
            "format",
            "suite",
            "criteria",
            "verdict",
            "evidence",
            "doubts",
            "multiplicity",
            "findings",
            "reliability",
            "pairs",
        ]
        assert Criteria(**document["criteria"]) == Criteria(limits={"blur": 1})
        blur = next(finding for finding in document["findings"] if finding["name"] == "blur")
        assert blur == {
            "name": "blur",
            "label": "Blur",
            "group": "replay",
            "unit": "px",
            "scale": "ratio",
            "baseline": 4.0,
            "candidate": 4.0,
            "pairs": 80,
            "worse": 0,
            "better": 0,
            "same": 80,
            "difference": {"estimate": 1.0, "lower": 1.0, "upper": 1.0},
            "limit": 1.0,
            "p_value": 1.0,
            "verdict": "pass",
            "message": "The candidate has 1.00 times as much blur (95 % limits 1.00 and 1.00, 80 prompts); up to 2.00 "
            "times is allowed.",
            "needed": None,
        }

    def test_has_both_sides_of_each_pair(self) -> None:
        document = told(compare(suite(every(2, FAULTS["failed"]), prompts=2), Criteria()))
        sides: Mapping[str, Any] = document["pairs"][0]
        assert (sides["key"], sides["repeat"], sides["prompt"]) == ("prompt-0", 1, "a fox, prompt-0")
        assert sides["baseline"]["entry"] == "prompt-0.baseline.1"
        assert Measurement.from_dict(sides["baseline"]["measurement"]) == CLIP
        assert (sides["candidate"]["status"], sides["candidate"]["artifact"]) == ("failed", None)
        assert sides["candidate"]["error"]["code"] == "VideoFailedError"
        assert set(sides["candidate"]) == {
            "entry",
            "status",
            "error",
            "artifact",
            "timing",
            "attempts",
            "usage",
            "has_ended",
            "served_model",
            "measurement",
        }

    def test_says_how_many_criteria_are_judged_and_what_that_means(self) -> None:
        one, other = compare(suite(), Criteria()).multiplicity
        assert one.startswith(f"{len(JUDGED)} criteria are judged.")
        assert "in at most 5 of 100 comparisons" in one
        assert "one-sided 95 %" in other

    def test_tells_an_unreadable_entry_from_a_verdict(self) -> None:
        broken = entry("prompt-0", "candidate")
        del broken["timing"]
        with pytest.raises(ConfigurationError, match=r"its entry cannot be read: it has no 'timing'"):
            compare([pair("prompt-0", clip("prompt-0", "baseline"), Side(entry=broken))], Criteria())
