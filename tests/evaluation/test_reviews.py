"""What reviewers answer, which of it counts, and that nothing but the word of each is an acceptance."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sora.evaluation.reviews import (
    ASPECTS,
    LETTERS,
    LONGEST_REASON,
    OPTIONS,
    Acceptance,
    Answer,
    Order,
    Request,
    conclude,
    field,
)
from airflow_provider_sora.evaluation.suite import SIDES
from airflow_provider_sora.exceptions import ConfigurationError

AT = "2026-11-23T02:00:00.000Z"
ABOUT = {"baseline": "old", "candidate": "new", "blind_report_sha256": "sha256:b", "order_sha256": "sha256:5ea1"}
FIELDS = [field(letter, aspect) for letter in LETTERS for aspect in ASPECTS]
STRAIGHT, CROSSED = Order(a="baseline"), Order(a="candidate")


def answer(option: Any = "Accept both", *, by: str = "anna", reason: Any = None, **scores: Any) -> dict[str, Any]:
    """As Airflow gives it: 8 for all of A, 6 for all of B, where nothing else is said."""
    given = {name: 8 if name.startswith("a_") else 6 for name in FIELDS}
    return {
        "chosen_options": [option],
        "params_input": {**given, "reason": reason, **scores},
        "responded_by_user": {"id": by, "name": by.title()},
        "responded_at": AT,
    }


def outcome(*left: Mapping[str, Any] | None, order: Order = STRAIGHT) -> Acceptance:
    """What tasks that left these come to."""
    requests = [Request.read(f"review_{at}", each, asked=ABOUT, about=ABOUT) for at, each in enumerate(left, start=1)]
    return conclude(requests, order=order)


def sealed(document: object) -> tuple[bytes, str]:
    content = json.dumps(document).encode()
    return content, f"sha256:{hashlib.sha256(content).hexdigest()}"


def opened(content: bytes, digest: str) -> Order:
    return Order.read(content, sha256=digest, baseline="old", candidate="new")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ANSWERS = st.builds(
    answer,
    st.sampled_from(list(OPTIONS)),
    by=st.sampled_from(["anna", "ben", "cleo"]),
    a_faces=st.integers(min_value=-1, max_value=12),
)
LEFT = st.none() | ANSWERS | st.just({"missing": "nobody answered within 2 days"})


class TestAnAnswer:
    def test_is_read_with_who_when_and_all_scores(self) -> None:
        read = Answer.read(answer("Reject both", by="ben", reason="  green\nfaces "))
        assert (read.user_id, read.by, read.at) == ("ben", "Ben", AT)
        assert (read.accepted, read.reason, read.faults) == ((), "green faces", ())
        assert read.scores == {"a": dict.fromkeys(ASPECTS, 8), "b": dict.fromkeys(ASPECTS, 6)}

    def test_may_have_its_time_as_airflow_gives_it_to_a_task(self) -> None:
        at = datetime(2026, 11, 23, 2, tzinfo=UTC)
        assert Answer.read({**answer(), "responded_at": at}).at == AT

    @pytest.mark.parametrize("score", [11, 0, -1, 7.5, "7", True, None, float("nan"), [7], {"b": 1}])
    def test_that_accepts_with_a_score_that_is_none_does_not_count(self, score: Any) -> None:
        read = Answer.read(answer(b_motion=score))
        assert not read.counts
        assert read.faults[0].startswith("motion of B ")
        assert "motion" not in read.scores["b"]

    @pytest.mark.parametrize("score", [1, 10, 7.0])
    def test_that_accepts_with_each_score_from_1_to_10_counts(self, score: Any) -> None:
        read = Answer.read(answer(b_motion=score))
        assert (read.counts, read.scores["b"]["motion"]) == (True, int(score))

    @pytest.mark.parametrize("user", [None, {}, {"id": ""}, "anna"])
    def test_that_accepts_does_not_count_where_no_person_gave_it(self, user: Any) -> None:
        assert not Answer.read({**answer(), "responded_by_user": user}).counts

    def test_that_rejects_counts_without_any_score(self) -> None:
        given = {**answer("Reject both"), "params_input": {}}
        assert Answer.read(given).counts
        assert outcome(given).to_dict()["reviews"][0]["reason"] == "no reason was given"

    @pytest.mark.parametrize(
        "chosen", [[], ["Accept both", "Reject both"], ["accept both"], "Accept both", ["Accept"], None, [None], 7]
    )
    def test_that_is_neither_does_not_count(self, chosen: Any) -> None:
        assert not Answer.read({**answer(), "chosen_options": chosen}).counts

    def test_keeps_no_more_of_a_reason_than_anybody_reads_and_nothing_that_moves_a_cursor(self) -> None:
        assert len(Answer.read(answer("Reject both", reason="x" * 9000)).reason) == LONGEST_REASON
        assert "\x1b" not in Answer.read(answer("Reject both", reason="red \x1b[31m alert")).reason

    @given(chosen=JSON, params=JSON, user=JSON, at=JSON)
    def test_may_be_anything_and_is_never_an_acceptance_by_accident(
        self, chosen: Any, params: Any, user: Any, at: Any
    ) -> None:
        given = {"chosen_options": chosen, "params_input": params, "responded_by_user": user, "responded_at": at}
        assert Answer.read(given).accepted is None or chosen in [[option] for option in OPTIONS]
        assert outcome(given).conclusion != "pass"
        json.dumps(outcome(given).to_dict(), allow_nan=False)


class TestTheOutcome:
    def test_is_a_pass_where_each_accepts(self) -> None:
        told = outcome(answer(), answer(by="ben"))
        assert told.conclusion == "pass"
        assert told.message == "Accepted by all of 2 reviewers: Anna, Ben."

    def test_is_a_fail_where_one_rejects(self) -> None:
        told = outcome(answer(), answer("Reject both", by="ben", reason="green faces"))
        assert told.conclusion == "fail"
        assert told.message == "Rejected by 1 of 2 reviewers. Ben: green faces."

    def test_is_a_fail_also_where_another_did_not_answer(self) -> None:
        told = outcome(None, answer("Reject both"))
        assert told.conclusion == "fail"
        assert told.message.endswith("Without an answer that counts: review_1: its task ended without an answer.")

    def test_is_open_where_one_did_not_answer(self) -> None:
        told = outcome(answer(), {"missing": "nobody answered within 2 days"})
        assert told.conclusion == "inconclusive"
        assert "Accepted by 1 of 2 reviewers" in told.message
        assert "review_2: nobody answered within 2 days" in told.message

    def test_keeps_the_seal_while_somebody_is_to_be_asked_again(self) -> None:
        told = outcome(answer("Accept only A", reason="B has six fingers"), None, order=CROSSED)
        [review] = told.to_dict()["reviews"]
        assert (review["by"], review["accepted"], review["scores"], review["reason"]) == ("Anna", None, None, None)
        assert {score for side in told.to_dict()["means"].values() for score in side.values()} == {None}
        lines = list(told.table())
        assert len(lines) == 3
        assert "sealed" in lines[1]
        assert "six fingers" not in "".join(lines)
        assert not [word for line in lines for word in line.split() if word in SIDES]

    def test_is_open_where_eleven_of_ten_was_given(self) -> None:
        told = outcome(answer(a_faces=11))
        assert told.conclusion == "inconclusive"
        assert told.missing["review_1"].startswith("the answer of Anna does not count: faces of A is 11")

    def test_is_open_where_the_same_person_answered_twice(self) -> None:
        told = outcome(answer(), answer())
        assert told.conclusion == "inconclusive"
        assert told.missing == {"review_2": "Anna answered another review already, and another person has to"}

    def test_is_open_where_the_same_person_answered_twice_for_the_later_one(self) -> None:
        told = outcome({**answer(), "responded_at": "2026-11-23T02:00:01.000Z"}, answer())
        assert told.missing == {"review_1": "Anna answered another review already, and another person has to"}

    def test_is_a_fail_where_the_same_person_rejects_later(self) -> None:
        assert outcome(answer(), answer("Reject both")).conclusion == "fail"

    @pytest.mark.parametrize(
        ("option", "order", "accepted", "conclusion"),
        [
            ("Accept both", STRAIGHT, ["baseline", "candidate"], "pass"),
            ("Accept only A", STRAIGHT, ["baseline"], "fail"),
            ("Accept only A", CROSSED, ["candidate"], "pass"),
            ("Accept only B", STRAIGHT, ["candidate"], "pass"),
            ("Accept only B", CROSSED, ["baseline"], "fail"),
            ("Reject both", CROSSED, [], "fail"),
        ],
    )
    def test_is_what_was_said_of_the_candidate(
        self, option: str, order: Order, accepted: list[str], conclusion: str
    ) -> None:
        told = outcome(answer(option), order=order)
        [review] = told.to_dict()["reviews"]
        assert (told.conclusion, review["accepted"]) == (conclusion, accepted)
        assert review["decision"] == ("accept" if "candidate" in accepted else "reject")
        assert review["reason"] == ("" if len(accepted) == 2 else "no reason was given")

    def test_of_one_side_with_a_score_that_is_none_is_no_acceptance_and_still_a_rejection(self) -> None:
        given = answer("Accept only A", b_motion=11)
        assert outcome(given, order=CROSSED).conclusion == "inconclusive"
        assert outcome(given, order=STRAIGHT).conclusion == "fail"

    def test_is_open_where_nobody_was_asked(self) -> None:
        assert outcome().conclusion == "inconclusive"

    @pytest.mark.parametrize("option", OPTIONS)
    @pytest.mark.parametrize("asked", [None, {}, "x", *({**ABOUT, name: "other"} for name in ABOUT)])
    def test_is_open_where_an_answer_is_about_anything_else(self, option: str, asked: Any) -> None:
        told = conclude([Request.read("review_1", answer(option), asked=asked, about=ABOUT)], order=STRAIGHT)
        assert (told.conclusion, told.answers) == ("inconclusive", ())
        assert told.missing == {"review_1": "it is about another comparison; clear the review task to ask anew"}

    def test_keeps_why_there_is_no_answer_whatever_was_asked_about(self) -> None:
        left = {"missing": "nobody answered within 2 days"}
        assert Request.read("review_1", left, asked=None, about=ABOUT).why == "nobody answered within 2 days"

    def test_is_as_old_as_the_oldest_answer_that_counts(self) -> None:
        old, older = "2026-10-01T02:00:00.000Z", "2026-09-01T02:00:00.000Z"
        ben = {**answer(by="ben"), "responded_at": old}
        void = {**answer(by="cleo", a_faces=11), "responded_at": older}
        assert outcome(answer(), ben, void).answered_at == old
        assert outcome({**answer(), "responded_at": None}, None).answered_at is None

    @given(left=st.lists(LEFT, max_size=5), order=st.sampled_from([STRAIGHT, CROSSED]))
    def test_is_a_pass_only_by_the_word_of_as_many_people_as_were_asked(
        self, left: list[dict[str, Any] | None], order: Order
    ) -> None:
        answers = [Answer.read(each) for each in left if each is not None and "chosen_options" in each]
        candidate = "b" if order is STRAIGHT else "a"
        people = {each.user_id for each in answers if candidate in (each.accepted or ()) and each.counts}
        rejected = any(each.accepted is not None and candidate not in each.accepted for each in answers)
        expected = "inconclusive"
        if rejected:
            expected = "fail"
        elif left and len(people) == len(left):
            expected = "pass"
        assert outcome(*left, order=order).conclusion == expected

    @given(left=st.lists(LEFT, max_size=4))
    def test_accounts_for_each_who_was_asked(self, left: list[dict[str, Any] | None]) -> None:
        told = outcome(*left)
        assert len(told.answers) + len(told.missing) == len(left)


class TestTheSeal:
    @pytest.mark.parametrize(
        ("order", "of_a", "of_b"), [(STRAIGHT, "baseline", "candidate"), (CROSSED, "candidate", "baseline")]
    )
    def test_is_broken_after_all_answered(self, order: Order, of_a: str, of_b: str) -> None:
        told = outcome(answer(a_faces=10), answer(by="ben", a_faces=5), order=order)
        assert (told.means[of_a]["faces"], told.means[of_b]["faces"]) == (7.5, 6)
        assert told.to_dict()["reviews"][0]["scores"][of_a]["faces"] == 10

    def test_with_the_sides_swapped_gives_the_same(self) -> None:
        swapped = {name: 6 if name.startswith("a_") else 8 for name in FIELDS}
        assert outcome(answer(), order=STRAIGHT).to_dict() == outcome(answer(**swapped), order=CROSSED).to_dict()

    @pytest.mark.parametrize("prefix", ["sha256:", ""])
    def test_is_read_with_its_digest(self, prefix: str) -> None:
        content, digest = sealed({"a": "candidate", "nonce": "5eed"})
        assert opened(content, prefix + digest.removeprefix("sha256:")) == CROSSED

    def test_that_was_changed_since_is_refused(self) -> None:
        _, digest = sealed({"a": "candidate", "nonce": "5eed"})
        changed, _ = sealed({"a": "baseline", "nonce": "5eed"})
        with pytest.raises(ConfigurationError, match="it was changed since"):
            opened(changed, digest)

    @pytest.mark.parametrize("document", [{"a": "left"}, {}, [], "baseline", {"a": None}, {"a": ["baseline"]}])
    def test_that_says_nothing_is_refused(self, document: object) -> None:
        content, digest = sealed(document)
        with pytest.raises(ConfigurationError, match="does not say which side is A"):
            opened(content, digest)

    def test_that_names_the_snapshots_is_read_where_these_are_compared(self) -> None:
        assert opened(*sealed({"a": "candidate", "nonce": "5eed", "baseline": "old", "candidate": "new"})) == CROSSED

    @pytest.mark.parametrize(
        "snapshots", [{"candidate": "newer"}, {"baseline": "older"}, {"baseline": "new", "candidate": "old"}]
    )
    def test_that_was_drawn_for_other_snapshots_is_refused(self, snapshots: dict[str, str]) -> None:
        with pytest.raises(ConfigurationError, match="it was drawn for another comparison: its "):
            opened(*sealed({"a": "candidate", "nonce": "5eed", **snapshots}))

    def test_that_is_no_json_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="does not say which side is A"):
            opened(b"{", hashlib.sha256(b"{").hexdigest())


class TestTheTable:
    def test_has_who_decided_what_and_the_mean_of_each_side(self) -> None:
        lines = list(outcome(answer("Reject both", reason="green faces"), None).table())
        assert lines[1].split() == ["Anna", AT, "reject", "neither", "green", "faces"]
        assert lines[2].split()[:4] == ["review_2", "-", "none", "-"]
        assert ["faces", "8.0", "6.0"] in [line.split() for line in lines]

    def test_has_a_dash_where_nobody_gave_a_score(self) -> None:
        scoreless = dict.fromkeys(field(letter, "faces") for letter in LETTERS)
        lines = outcome(answer("Reject both", **scoreless)).table()
        assert ["faces", "-", "-"] in [line.split() for line in lines]
