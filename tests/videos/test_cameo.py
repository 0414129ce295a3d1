"""Characters, and where prompts mention them, in scripts with and without spaces between words."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sora.exceptions import InvalidRequestError
from airflow_provider_sora.videos.cameo import (
    Cameo,
    check_new_cameo,
    completed,
    digest_of_cameo,
    faults_of_mentions,
    is_mentioned,
    with_mentions,
)

OUTPUT: dict[str, Any] = {
    "cameo_id": "cameo_1",
    "name": "小橘猫",
    "description": "a small ginger cat",
    "version": {"snapshot": "sora-2-2025-12-08", "requested": "sora-2"},
    "reference_images": [{"uri": "s3://cats/1.png", "sha256": "ab"}, {"uri": "s3://cats/2.png", "sha256": "cd"}],
    "digest": "sha256:ef",
}


def named(*names: str) -> tuple[Cameo, ...]:
    return tuple(Cameo(reference=f"cameo_{place}", id=f"cameo_{place}", name=name) for place, name in enumerate(names))


def unnamed(*ids: str) -> tuple[Cameo, ...]:
    return tuple(Cameo(reference=each) for each in ids)


def read(value: object) -> tuple[Cameo | None, list[str]]:
    problems: list[str] = []
    return Cameo.parse(value, problems), problems


def marked(text: str, *names: str) -> str:
    """The prompt with each mention in brackets."""
    return with_mentions(text, named(*names), lambda cameo: f"[{cameo.name}]")


class TestAnEntryOfCameos:
    @pytest.mark.parametrize("text", ["cameo_1", " cameo_1\n", "小橘猫"])
    def test_may_be_an_id_or_a_name(self, text: str) -> None:
        assert read(text) == (Cameo(reference=text.strip()), [])

    def test_may_be_the_output_of_a_task_that_made_one(self) -> None:
        assert read(OUTPUT) == (
            Cameo(
                reference="cameo_1",
                id="cameo_1",
                name="小橘猫",
                description="a small ginger cat",
                snapshot="sora-2-2025-12-08",
                picture="s3://cats/1.png",
            ),
            [],
        )

    def test_may_be_one_that_no_server_knows(self) -> None:
        cameo, problems = read({**OUTPUT, "cameo_id": None})
        assert problems == []
        assert cameo is not None
        assert (cameo.reference, cameo.id, cameo.name) == ("小橘猫", None, "小橘猫")
        assert cameo.to_dict() == {
            "id": "小橘猫",
            "name": "小橘猫",
            "snapshot": "sora-2-2025-12-08",
            "description": "a small ginger cat",
            "picture": "s3://cats/1.png",
        }

    def test_may_be_a_small_output(self) -> None:
        assert read({"cameo_id": "cameo_1", "name": "Ann"}) == (
            Cameo(reference="cameo_1", id="cameo_1", name="Ann"),
            [],
        )

    def test_may_be_read_already(self) -> None:
        (cameo,) = named("Ann")
        assert read(cameo) == (cameo, [])

    @pytest.mark.parametrize(
        "value",
        [
            *(None, 5, "", "  ", [], ["cameo_1"], {}, {"name": "Ann"}, {"cameo_id": "cameo_1"}, {"id": "cameo_1"}),
            {**OUTPUT, "name": 5},
            {**OUTPUT, "cameo_id": 5},
            {**OUTPUT, "version": "sora-2"},
            {**OUTPUT, "reference_images": ["s3://cats/1.png"]},
            {**OUTPUT, "description": ["a cat"]},
        ],
    )
    def test_that_is_anything_else_is_shown(self, value: object) -> None:
        assert read(value) == (
            None,
            [f"a cameo is an id, a name or the output of a task that made one, not {value!r}"],
        )

    def test_that_a_template_made_a_text_of_is_no_id(self) -> None:
        cameo, (problem,) = read(str(OUTPUT))
        assert cameo is None
        assert "which a template made" in problem


class TestAMention:
    @pytest.mark.parametrize(
        ("text", "names", "expected"),
        [
            ("@Ann waves", ["Ann"], "[Ann] waves"),
            ("Look, @Ann!", ["Ann"], "Look, [Ann]!"),
            ("(@Ann)", ["Ann"], "([Ann])"),
            ("@Ann and @Ann", ["Ann"], "[Ann] and [Ann]"),
            ("@Ann's hat", ["Ann"], "[Ann]'s hat"),
            ("@Anna", ["Ann"], "@Anna"),
            ("@Ann2", ["Ann"], "@Ann2"),
            ("@Ann_b", ["Ann"], "@Ann_b"),
            ("@ann", ["Ann"], "@ann"),
            ("@ Ann", ["Ann"], "@ Ann"),
            ("@Anna and @Ann", ["Ann", "Anna"], "[Anna] and [Ann]"),
            ("@Anna and @Ann", ["Anna", "Ann"], "[Anna] and [Ann]"),
            ("@Mary Ann and @Mary", ["Mary", "Mary Ann"], "[Mary Ann] and [Mary]"),
            ("@Mary Anna", ["Mary Ann", "Mary"], "[Mary] Anna"),
            ("@Dr. No stays", ["Dr. No"], "[Dr. No] stays"),
            ("@3PO beeps", ["3PO"], "[3PO] beeps"),
            ("first line\n@Ann", ["Ann"], "first line\n[Ann]"),
        ],
    )
    def test_is_found_by_the_longest_name_that_ends_there(self, text: str, names: list[str], expected: str) -> None:
        assert marked(text, *names) == expected

    @pytest.mark.parametrize(
        ("text", "names", "expected"),
        [
            ("@小橘猫坐在窗边", ["小橘猫"], "[小橘猫]坐在窗边"),
            ("让@小橘猫坐在窗边，看着@小橘猫的影子", ["小橘猫"], "让[小橘猫]坐在窗边，看着[小橘猫]的影子"),
            ("@小橘猫和@小橘跳舞", ["小橘", "小橘猫"], "[小橘猫]和[小橘]跳舞"),
            ("@小橘猫@大白狗", ["小橘猫", "大白狗"], "[小橘猫][大白狗]"),
            ("@小橘猫2号", ["小橘猫"], "@小橘猫2号"),
            ("@Ann坐在窗边", ["Ann"], "[Ann]坐在窗边"),
            ("それは@みけです", ["みけ"], "それは[みけ]です"),
            ("@ミケは跳ぶ", ["ミケ"], "[ミケ]は跳ぶ"),
            ("@민수가 웃는다", ["민수"], "[민수]가 웃는다"),
            ("ดู@แมวนอน", ["แมว"], "ดู[แมว]นอน"),
            ("@แม่ยิ้ม", ["แม", "แม่"], "[แม่]ยิ้ม"),
            ("@แม่ยิ้ม", ["แม"], "@แม่ยิ้ม"),
            ("@राम हँसता है", ["राम"], "[राम] हँसता है"),
            ("@राम हँसता है", ["र"], "@राम हँसता है"),
            ("@𠮷野家の前", ["𠮷野家"], "[𠮷野家]の前"),
        ],
    )
    def test_needs_no_space_where_its_script_has_none(self, text: str, names: list[str], expected: str) -> None:
        assert marked(text, *names) == expected

    @pytest.mark.parametrize(
        "text", ["mail@example.com", "a.b@Ann", "ann1@Ann.example", "_@Ann", "@@@Ann", "a @ b", "@"]
    )
    def test_is_not_in_an_address_or_a_lone_sign(self, text: str) -> None:
        assert marked(text, "Ann") == text
        assert faults_of_mentions(text, ()) == []

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("@@Ann", "@Ann"),
            ("follow @@studio and @Ann", "follow @studio and [Ann]"),
            ("关注@@工作室", "关注@工作室"),
            ("a@@b", "a@@b"),
            ("@@ alone", "@@ alone"),
            ("@@@@", "@@@@"),
        ],
    )
    def test_is_escaped_by_a_second_sign_where_one_would_begin_a_mention(self, text: str, expected: str) -> None:
        assert marked(text, "Ann") == expected
        assert [fault for fault in faults_of_mentions(text, ()) if "mentions" in fault and "studio" in fault] == []

    @pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC"])
    @pytest.mark.parametrize("other", ["NFC", "NFD"])
    def test_is_found_however_its_accents_are_written(self, form: Any, other: Any) -> None:
        (cameo,) = named(unicodedata.normalize(form, "Zoë"))
        text = unicodedata.normalize(other, "@Zoë dances")
        assert faults_of_mentions(text, [cameo]) == []
        assert is_mentioned(cameo, text)
        assert with_mentions(text, [cameo], lambda _: "she") == "she dances"

    def test_does_not_end_before_an_accent(self) -> None:
        """There is no single character for n with a diaeresis."""
        assert marked("@Ann\u0308 waves", "Ann") == "@Ann\u0308 waves"

    def test_takes_its_words_as_they_are(self) -> None:
        assert with_mentions("@Ann, @Ann", named("Ann"), lambda _: r"\1 @Ann @@Bob") == r"\1 @Ann @@Bob, \1 @Ann @@Bob"


names = st.one_of(
    st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,6}", fullmatch=True),
    st.text("小橘猫大白狗みけミ", min_size=1, max_size=4),
    st.text("áéöñ한글แม่राम", min_size=1, max_size=4).filter(lambda name: re.match(r"\w", name) is not None),
).map(lambda name: unicodedata.normalize("NFC", name))
prompts = st.lists(
    st.one_of(
        names, names.map(lambda name: f"@{name}"), names.map(lambda name: f"@@{name}"), st.sampled_from(" @,.\n")
    ),
    max_size=12,
).map("".join)


class TestMentionsInAnyText:
    @given(names, st.sampled_from(["", " ", "，", "\n", "(", "看"]))
    def test_a_name_before_a_space_is_always_found(self, name: str, before: str) -> None:
        text = f"{before}@{name} x"
        assert faults_of_mentions(text, named(name)) == []
        assert with_mentions(text, named(name), lambda _: "[]") == f"{before}[] x"

    @given(prompts, st.lists(names, max_size=3, unique=True))
    def test_every_fault_goes_away_with_what_it_names(self, text: str, taking_part: list[str]) -> None:
        """What is found by the check is found by the rewriting, and the other way round."""
        cast = named(*taking_part)
        written: list[str] = []
        with_mentions(text, cast, lambda cameo: written.append(str(cameo.name)) or "")  # type: ignore[func-returns-value]
        unused = {cameo.name for cameo in cast if not is_mentioned(cameo, text) and cameo.name not in written}
        told = {fault.rpartition("@")[2] for fault in faults_of_mentions(text, cast) if "does not mention" in fault}
        assert told == unused

    @given(prompts, st.lists(names, max_size=3, unique=True))
    def test_written_as_mentions_again_they_say_the_same(self, text: str, taking_part: list[str]) -> None:
        once = with_mentions(text, named(*taking_part), lambda cameo: f"@{cameo.name}")
        assert with_mentions(once, named(*taking_part), lambda cameo: f"@{cameo.name}") == once

    @given(prompts)
    def test_without_cameos_each_mention_is_unknown(self, text: str) -> None:
        faults = faults_of_mentions(text, ())
        assert len(faults) <= 1
        if faults:
            assert "cameos names none (write @@ for a plain @)" in faults[0]


class TestFaults:
    def test_a_mention_of_nobody_is_told_with_who_is_there(self) -> None:
        assert faults_of_mentions("@Ann meets @Bob and @Carl and @Bob", named("Ann")) == [
            "the prompt mentions @Bob, @Carl, but there are @Ann (write @@ for a plain @)"
        ]

    def test_a_cameo_that_nobody_mentions_is_told(self) -> None:
        assert faults_of_mentions("@Ann waves", named("Ann", "Bob")) == ["the prompt does not mention the cameo @Bob"]

    def test_the_same_mention_twice_is_no_fault(self) -> None:
        assert faults_of_mentions("@Ann waves, then @Ann leaves", named("Ann")) == []

    def test_a_name_inside_of_a_longer_one_is_not_mentioned_by_it(self) -> None:
        assert faults_of_mentions("@小橘猫坐着", named("小橘", "小橘猫")) == [
            "the prompt does not mention the cameo @小橘"
        ]

    @pytest.mark.parametrize(
        "text",
        [
            "no mention",
            "@Ann waves",
            "@Ann waves, then @Ann leaves",
            "@小橘猫坐在窗边，然后@小橘猫跳上桌子",
            "@Ann坐在窗边，@Ann跳舞",
        ],
    )
    def test_a_mention_may_be_of_a_cameo_whose_name_is_not_known(self, text: str) -> None:
        assert faults_of_mentions(text, unnamed("cameo_1")) == []

    @pytest.mark.parametrize("text", ["@Ann meets @Bob", "@小橘猫遇见@大白狗", "@小橘猫 meets @Bob"])
    def test_one_cameo_has_one_name(self, text: str) -> None:
        (fault,) = faults_of_mentions(text, unnamed("cameo_1"))
        assert "cameos names none" in fault

    def test_known_and_unknown_names_go_together(self) -> None:
        cast = (*named("Ann"), *unnamed("cameo_9"))
        assert faults_of_mentions("@Ann meets @Bob", cast) == []
        (fault,) = faults_of_mentions("@Ann meets @Bob and @Carl", cast)
        assert "mentions @Bob, @Carl, but there are @Ann" in fault


class TestCompletedFromTheServersList:
    KNOWN = (*named("小橘猫", "Ann"), Cameo(reference="cameo_7", id="cameo_7"))

    @pytest.mark.parametrize("reference", ["cameo_0", "小橘猫"])
    def test_an_id_and_a_name_give_both(self, reference: str) -> None:
        (cameo,) = completed(unnamed(reference), self.KNOWN)
        assert (cameo.reference, cameo.id, cameo.name) == (reference, "cameo_0", "小橘猫")

    def test_a_name_is_found_however_its_accents_are_written(self) -> None:
        (cameo,) = completed(unnamed(unicodedata.normalize("NFD", "Zoë")), named(unicodedata.normalize("NFC", "Zoë")))
        assert cameo.id == "cameo_0"

    def test_what_is_known_beside_stays(self) -> None:
        cameo = Cameo(reference="Ann", name="Ann", description="tall", picture="a.png", snapshot="s")
        (found,) = completed([cameo], self.KNOWN)
        assert (found.id, found.description, found.picture, found.snapshot) == ("cameo_1", "tall", "a.png", "s")

    def test_an_id_wins_over_a_name(self) -> None:
        known = (*named("Ann"), Cameo(reference="cameo_8", id="cameo_8", name="cameo_0"))
        (found,) = completed(unnamed("cameo_0"), known)
        assert found.name == "Ann"

    def test_an_unknown_one_is_told_with_those_that_there_are(self) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            completed(unnamed("Bob", "cameo_9"), named("Ann"))
        assert str(caught.value) == (
            "Nothing was submitted: the server has no cameo 'Bob'; it has Ann (cameo_0); "
            "the server has no cameo 'cameo_9'; it has Ann (cameo_0)."
        )

    def test_an_id_that_is_gone_is_not_replaced_by_one_of_the_same_name(self) -> None:
        with pytest.raises(InvalidRequestError, match="the server has no cameo 'cameo_gone'"):
            completed([Cameo(reference="cameo_gone", id="cameo_gone", name="Ann")], named("Ann"))

    def test_a_name_of_several_wants_an_id(self) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            completed(unnamed("Ann"), named("Ann", "Ann"))
        assert str(caught.value) == (
            "Nothing was submitted: the server has 2 cameos named 'Ann': write the id, one of cameo_0, cameo_1."
        )

    def test_an_id_and_a_name_of_the_same_one_are_one_too_many(self) -> None:
        with pytest.raises(InvalidRequestError, match="cameos has cameo_1 twice"):
            completed(unnamed("Ann", "cameo_1"), self.KNOWN)


class TestANewCameo:
    @pytest.mark.parametrize("name", ["小橘猫", "Mary Ann", "3PO", "Dr. J.", "é" * 80, "राम", "แม่"])
    def test_has_a_name_in_any_script(self, name: str) -> None:
        check_new_cameo(name, "", ["a.png"])

    @pytest.mark.parametrize("name", ["", " ", "x" * 81, "@Ann", "Ann@home", None, 5, "Ann \ud83d"])
    def test_has_a_name_of_some_characters_and_no_sign_of_a_mention(self, name: object) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            check_new_cameo(name, "", ["a.png"])
        assert str(caught.value) == (
            f"Nothing was submitted: the name of a cameo has 1 to 80 characters and no @, unlike {name!r}."
        )

    @pytest.mark.parametrize("name", [" Ann", "Ann ", "🐱", "-Ann", "(Ann)"])
    def test_has_a_name_that_a_mention_can_begin_with(self, name: str) -> None:
        with pytest.raises(InvalidRequestError, match="the name of a cameo begins with a letter or digit"):
            check_new_cameo(name, "", ["a.png"])

    @pytest.mark.parametrize("description", [None, 5, "x" * 2001, "half \ud83d"])
    def test_has_a_description_that_is_a_text(self, description: object) -> None:
        with pytest.raises(InvalidRequestError, match=r"a text of at most 2,000 characters\.$"):
            check_new_cameo("Ann", description, ["a.png"])

    @pytest.mark.parametrize("pictures", [[], None, "a.png", ["a.png"] * 11, {"a.png"}])
    def test_is_made_of_one_to_ten_pictures(self, pictures: object) -> None:
        with pytest.raises(InvalidRequestError, match="a cameo is made of 1 to 10 pictures"):
            check_new_cameo("Ann", "", pictures)

    @pytest.mark.parametrize("pictures", [[5], [""], [None], ["a.png", b"png"]])
    def test_has_pictures_by_their_paths(self, pictures: object) -> None:
        with pytest.raises(InvalidRequestError, match="reference_images are paths or URLs"):
            check_new_cameo("Ann", "", pictures)

    def test_is_refused_with_all_that_is_wrong(self) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            check_new_cameo("", None, [])
        assert str(caught.value).count(";") == 2


class TestTheDigestOfACameo:
    MADE_OF: dict[str, Any] = {"name": "Ann", "description": "tall", "pictures": ["ab", "cd"], "account": "one"}  # noqa: RUF012

    def test_stays_the_same_from_release_to_release(self) -> None:
        """It is an idempotency key: another one would make the cameo anew."""
        assert (
            digest_of_cameo(**self.MADE_OF) == "sha256:c13fa3971b9e0a5f2f3c807a32172dfb567b5114e1483847b5cb5d0cd731e942"
        )

    @pytest.mark.parametrize(
        "other",
        [{"name": "Bob"}, {"description": ""}, {"pictures": ["cd", "ab"]}, {"pictures": ["ab"]}, {"account": "two"}],
    )
    def test_changes_with_all_that_it_is_made_of(self, other: dict[str, Any]) -> None:
        assert digest_of_cameo(**{**self.MADE_OF, **other}) != digest_of_cameo(**self.MADE_OF)
