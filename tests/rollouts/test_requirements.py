"""What a plan requires, and why a rollout does not start without it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.rollouts import Rollout, Step
from airflow_provider_sora.rollouts.plan import Requirement
from airflow_provider_sora.rollouts.requirements import (
    CLOCK_SKEW,
    Evidence,
    Server,
    not_passed,
    objections_of,
    recorded,
    told_of,
)
from airflow_provider_sora.timestamps import isoformat

OLD, NEW = "sora-2-2025-10-06", "sora-2-2025-12-08"
NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)
NAMES: tuple[Any, ...] = get_args(Requirement)
SERVER = Server(host="sora.example.com:443", environment="production")
MONTH = timedelta(days=30)


def plan(*requires: Any) -> Rollout:
    return Rollout("hero", baseline=OLD, candidate=NEW, steps=[Step("100%")], requires=requires)


def evidence(*, made_at: Any = NOW, source: str = "s3://videos/comparison.json", **more: Any) -> Evidence:
    """All that can be required passed, where nothing else is said."""
    verdicts = {name: more.pop(name, "pass") for name in NAMES}
    document = {"baseline": OLD, "candidate": NEW, "evidence": verdicts, "server": SERVER.to_dict(), **more}
    written = isoformat(made_at) if isinstance(made_at, datetime) else made_at
    return Evidence.read({**document, "made_at": written}, source=source)


def objections(*given: Evidence, requires: Any = NAMES, max_age: timedelta | None = MONTH) -> list[str]:
    """What whoever starts it is told."""
    found = objections_of(plan(*requires), given, server=SERVER, now=NOW, max_age=max_age)
    return [each.told for each in found]


class TestARolloutStarts:
    def test_where_all_that_is_required_passed(self) -> None:
        assert objections(evidence()) == []

    def test_where_it_comes_in_pieces(self) -> None:
        document = {"baseline": OLD, "candidate": NEW, "made_at": isoformat(NOW)}
        verdicts = [{name: "pass"} for name in NAMES]
        pieces = [
            Evidence.read({**document, "server": SERVER.to_dict(), "evidence": each}, source="x") for each in verdicts
        ]
        assert objections(*pieces) == []

    def test_whatever_became_of_what_is_not_required(self) -> None:
        assert objections(evidence(benchmark="fail"), requires=["replay"]) == []

    def test_without_any_evidence_where_nothing_is_required(self) -> None:
        assert objections(requires=[]) == []


class TestARolloutDoesNotStart:
    @pytest.mark.parametrize("name", NAMES)
    def test_where_nothing_tells_of_what_is_required(self, name: str) -> None:
        [told] = objections(requires=[name])
        assert told.startswith(f"The plan requires `{name}`, and no evidence has it: give the start what ")

    @pytest.mark.parametrize(("verdict", "do"), [("fail", "compare again"), ("inconclusive", "says what is missing")])
    def test_where_it_did_not_pass(self, verdict: str, do: str) -> None:
        [told] = objections(evidence(benchmark=verdict))
        assert told.startswith(f"The plan requires `benchmark`, and s3://videos/comparison.json says {verdict}: ")
        assert do in told

    @pytest.mark.parametrize("verdict", ["PASS", "passed", "", "error", None, True, 1])
    def test_where_the_verdict_is_no_pass_in_so_many_letters(self, verdict: Any) -> None:
        assert len(objections(evidence(replay=verdict))) == 1

    def test_where_people_rejected_it_with_who_and_why(self) -> None:
        reviews = [
            {"by": "Anna", "decision": "accept", "reason": "fine"},
            {"by": "Ben", "decision": "reject", "reason": "green\nfaces"},
        ]
        [told] = objections(evidence(acceptance="fail", reviews=reviews, missing={}))
        assert told == (
            "The plan requires `acceptance`, and s3://videos/comparison.json says fail (rejected by Ben: green faces): "
            "clear their reviews, and what comes after these, to ask again, or leave the rollout"
        )

    def test_where_people_did_not_answer_with_whose_word_is_missing(self) -> None:
        [told] = objections(evidence(acceptance="inconclusive", missing={"review_2": "nobody answered within 2 days"}))
        assert (
            "says inconclusive (review_2: nobody answered within 2 days): clear the reviews without an answer" in told
        )

    def test_where_a_comparison_failed_with_nothing_of_what_people_said(self) -> None:
        reviews = [{"by": "Ben", "decision": "reject", "reason": "green faces"}]
        [told] = objections(evidence(replay="fail", reviews=reviews))
        assert "Ben" not in told

    def test_where_one_comparison_failed_though_another_passed(self) -> None:
        [told] = objections(evidence(), evidence(replay="fail", source="s3://videos/first.json"))
        assert "s3://videos/first.json says fail" in told

    def test_where_the_evidence_is_on_other_snapshots(self) -> None:
        [told] = objections(evidence(candidate="sora-2-2026-01-01"), requires=["replay"])
        assert f"for {OLD} to {NEW}" in told
        assert f"({OLD} to sora-2-2026-01-01 in s3://videos/comparison.json): compare these two" in told

    def test_where_it_went_the_other_way(self) -> None:
        assert len(objections(evidence(baseline=NEW, candidate=OLD), requires=["replay"])) == 1

    @pytest.mark.parametrize(
        ("server", "told"),
        [
            (
                {"host": "127.0.0.1:8300", "environment": "production"},
                "was made on the server '127.0.0.1:8300', and the rollout starts on sora.example.com:443: run the ",
            ),
            (
                {"host": "sora.example.com:443", "environment": "staging"},
                "was made in the environment 'staging', and the rollout starts in production: run the ",
            ),
            (
                {"host": "sora.example.com:8443", "environment": "staging"},
                "was made on the server 'sora.example.com:8443', and the rollout starts on sora.example.com:443; in "
                "the environment 'staging', and the rollout starts in production: run the ",
            ),
        ],
    )
    def test_where_it_was_made_elsewhere(self, server: dict[str, str], told: str) -> None:
        [objection] = objections(evidence(server=server), requires=["replay"])
        assert objection.startswith(f"The plan requires `replay`, and s3://videos/comparison.json {told}")
        assert objection.endswith("or force it with a reason")

    @pytest.mark.parametrize(
        "server", [None, "x", [], {}, {"host": "sora.example.com:443"}, {"host": "", "environment": ""}, {"host": 7}]
    )
    def test_where_nobody_knows_on_which_server_it_was_made(self, server: Any) -> None:
        [told] = objections(evidence(server=server), requires=["replay"])
        assert "does not say on which server and in which environment it was made" in told

    def test_with_all_that_is_wrong_at_once(self) -> None:
        assert len(objections(evidence(server=None, made_at=NOW - 2 * MONTH), requires=["replay"])) == 2

    @pytest.mark.parametrize("made_at", [None, "", "yesterday", 7, "2026-11-23T02:00:00", {"at": 1}])
    def test_where_nobody_knows_how_old_it_is(self, made_at: Any) -> None:
        [told] = objections(evidence(made_at=made_at), requires=["replay"])
        assert "does not say when it was made" in told

    def test_where_it_is_too_old(self) -> None:
        [told] = objections(evidence(made_at=NOW - MONTH - timedelta(seconds=1)), requires=["replay"])
        assert "longer ago than evidence_max_age allows (30 days, 0:00:00)" in told
        assert objections(evidence(made_at=NOW - MONTH), requires=["replay"]) == []

    def test_where_it_is_yet_to_be_made(self) -> None:
        [told] = objections(evidence(made_at=NOW + CLOCK_SKEW + timedelta(seconds=1)), requires=["replay"])
        assert "which is yet to come" in told
        assert objections(evidence(made_at=NOW + CLOCK_SKEW), requires=["replay"]) == []

    @pytest.mark.parametrize("made_at", [None, NOW - timedelta(days=9999)])
    def test_for_its_age_only_where_that_matters(self, made_at: Any) -> None:
        assert objections(evidence(made_at=made_at), max_age=None) == []

    @given(
        requires=st.lists(st.sampled_from(NAMES), unique=True),
        given=st.lists(
            st.builds(
                evidence,
                replay=st.sampled_from(["pass", "fail", "inconclusive"]),
                acceptance=st.sampled_from(["pass", "inconclusive"]),
                candidate=st.sampled_from([NEW, "another"]),
                made_at=st.sampled_from([NOW, None, NOW - 2 * MONTH]),
            ),
            max_size=3,
        ),
    )
    def test_unless_each_requirement_has_a_fresh_pass_and_nothing_else_on_its_snapshots(
        self, requires: list[Any], given: list[Evidence]
    ) -> None:
        ours = [each for each in given if each.candidate == NEW]
        is_fine = all(ours and all(each.verdicts[name] == "pass" for each in ours) for name in requires)
        is_fresh = not requires or all(each.made_at == isoformat(NOW) for each in ours)
        assert (objections(*given, requires=requires) == []) == (is_fine and is_fresh)


class TestAnObjection:
    @pytest.mark.parametrize(
        "given",
        [
            [],
            [evidence(candidate="another")],
            *([evidence(**{name: verdict})] for name in NAMES for verdict in ("fail", "inconclusive")),
            [evidence(server=None)],
            [evidence(server={"host": "127.0.0.1:8300", "environment": "staging"})],
            [evidence(made_at=None)],
            [evidence(made_at=NOW - 2 * MONTH)],
            [evidence(made_at=NOW + MONTH)],
        ],
    )
    def test_tells_the_fact_apart_from_what_to_do(self, given: list[Evidence]) -> None:
        found = objections_of(plan(*NAMES), given, server=SERVER, now=NOW, max_age=MONTH)
        assert found
        for each in found:
            assert each.told == f"{each.fact}: {each.advice}"
            assert not [word for word in ("clear ", "compare again", "anew", "[…]", "force") if word in each.fact]


class TestWhatDidNotPass:
    """As a start is told of it that comes too late."""

    def test_is_each_verdict_that_is_no_pass(self) -> None:
        found = not_passed(plan(*NAMES), [evidence(), evidence(acceptance="fail", replay="inconclusive")])
        assert [each.fact.partition("says ")[2] for each in found] == ["inconclusive", "fail"]

    @pytest.mark.parametrize(
        "given",
        [
            [],
            [evidence(made_at=NOW - 9 * MONTH)],
            [evidence(server=None)],
            [evidence(candidate="another", replay="fail")],
            [Evidence.read({"baseline": OLD, "candidate": NEW, "evidence": {}}, source="x")],
        ],
    )
    def test_is_nothing_that_only_a_start_minds(self, given: list[Evidence]) -> None:
        assert not_passed(plan(*NAMES), given) == []

    def test_is_nothing_that_is_not_required(self) -> None:
        assert not_passed(plan("replay"), [evidence(acceptance="fail")]) == []


class TestEvidence:
    def test_says_little_however_much_was_written(self) -> None:
        reviews = [{"by": "x" * 9000, "decision": "reject", "reason": "\x1b[31m" + "y" * 9000}] * 50
        said = evidence(reviews=reviews, missing={"review": "z" * 9000}).said
        assert len(said) < 600
        assert said.endswith("; and 48 more")
        assert said.isprintable()

    @pytest.mark.parametrize("word", [None, 7, "x", ["x"], [None], {"x": None}, [{"decision": "reject"}]])
    def test_may_have_anything_where_people_speak(self, word: Any) -> None:
        assert isinstance(evidence(reviews=word, missing=word).said, str)

    @pytest.mark.parametrize(
        "document",
        [
            None,
            [],
            "pass",
            {},
            {"baseline": OLD, "candidate": NEW},
            {"baseline": OLD, "candidate": NEW, "evidence": "pass"},
            {"baseline": OLD, "candidate": "", "evidence": {"replay": "pass"}},
            {"baseline": OLD, "candidate": 7, "evidence": {"replay": "pass"}},
        ],
    )
    def test_that_is_none_is_refused(self, document: object) -> None:
        with pytest.raises(ConfigurationError, match=r"the output of a task is no evidence"):
            Evidence.read(document, source="the output of a task")


class TestTheRecord:
    def test_has_each_verdict_that_is_required_and_where_it_is_from(self) -> None:
        found = recorded(plan("replay", "acceptance"), [evidence(), evidence(candidate="another")])
        assert found == [
            {
                "name": name,
                "verdict": "pass",
                "made_at": isoformat(NOW),
                "source": "s3://videos/comparison.json",
                "host": "sora.example.com:443",
                "environment": "production",
                "compared": None,
                "lenient": [],
            }
            for name in ("replay", "acceptance")
        ]
        assert told_of(found[0]) == (
            "replay: pass, 2026-11-23T02:00:00.000Z, s3://videos/comparison.json, on sora.example.com:443 (production)"
        )

    def test_tells_how_much_was_compared_and_what_was_allowed(self) -> None:
        [found] = recorded(plan("replay"), [evidence(compared=40, lenient=["failed", "blur"])])
        assert (found["compared"], found["lenient"]) == (40, ["failed", "blur"])
        assert told_of(found).endswith(
            ", on sora.example.com:443 (production), 40 prompts compared, more lenient than by default: failed, blur"
        )

    @pytest.mark.parametrize("odd", [None, True, "40", {"a": 1}])
    def test_has_nothing_of_what_is_no_number_or_list(self, odd: Any) -> None:
        [found] = recorded(plan("replay"), [evidence(compared=odd, lenient=odd, server=odd)])
        assert (found["host"], found["environment"], found["compared"], found["lenient"]) == (None, None, None, [])
        assert told_of(found) == "replay: pass, 2026-11-23T02:00:00.000Z, s3://videos/comparison.json"

    def test_bears_what_was_written_by_hand(self) -> None:
        told = told_of({"name": "replay", "host": 7, "compared": [1], "lenient": "all"})
        assert told.endswith("on 7 (None), [1] prompts compared, more lenient than by default: all")

    def test_stays_small_whatever_was_given(self) -> None:
        server = {"host": "h" * 100_000, "environment": "e" * 100_000}
        one = evidence(source="x" * 100_000, replay="y" * 100_000, server=server, lenient=["z" * 100_000] * 1_000)
        assert len(json.dumps(recorded(plan(*NAMES), [one] * 100))) < 50_000
