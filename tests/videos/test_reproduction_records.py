"""Whether a record still says what it said when it was written: what shows, and what must not look like a change."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sora.videos.record_hash import sha256_of_record
from airflow_provider_sora.videos.request import InputReference, VideoRequest
from airflow_provider_sora.videos.source import Derivation, Source
from airflow_provider_sora.videos.tampering import doubts, fault_of_change

SNAPSHOT = "sora-2-2025-12-08"
ACCOUNT = "sora_default@http://127.0.0.1:8300/v1"
PICTURE = InputReference(name="a.png", media_type="image/png", data=b"1", uri="/a.png", fit="pad")

_TEXTS = st.text(st.characters(codec="utf-8"), max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)


def record(**arguments: Any) -> dict[str, Any]:
    """What an older release wrote: without a hash of the whole."""
    request = VideoRequest.parse(**{"prompt": "A kite", "seed": 7, "size": "1280x720", **arguments})
    asked = request.to_dict()
    if request.input_reference is not None:
        asked["input_reference"] |= request.input_reference.origin
    digest = request.digest(snapshot=SNAPSHOT, account=ACCOUNT)
    told: dict[str, Any] = json.loads(
        json.dumps(
            {
                "video_id": "video_1",
                "version": {"snapshot": SNAPSHOT, "served_model": SNAPSHOT},
                "request": {**asked, "served_seed": 7, "rendered_as": "native", "sent_prompt": None, "digest": digest},
                "artifact": {"uri": "s3://here/a.mp4"},
                "warnings": [],
            }
        )
    )
    return told


def hashed(**arguments: Any) -> dict[str, Any]:
    told = record(**arguments)
    return {**told, "record_sha256": sha256_of_record(told)}


class TestAChange:
    @pytest.mark.parametrize("name", [*(each.name for each in fields(VideoRequest)), "served_seed"])
    def test_of_anything_that_decides_what_is_rendered_shows(self, name: str) -> None:
        told = hashed()
        told["request"][name] = "changed"
        assert "Its record was changed after it was written" in (fault_of_change(told) or "")

    @pytest.mark.parametrize("name", ["snapshot", "served_model"])
    def test_of_what_rendered_it_shows(self, name: str) -> None:
        told = hashed()
        told["version"][name] = "sora-2-2025-10-06"
        assert told["record_sha256"] in (fault_of_change(told) or "")

    def test_of_a_scenes_seed_shows(self) -> None:
        told = {**record(), "scenes": [{"served_seed": 1}, {"served_seed": 2}]}
        told["record_sha256"] = sha256_of_record(told)
        assert fault_of_change(told) is None
        told["scenes"].reverse()
        assert fault_of_change(told) is not None

    def test_of_a_pictures_hash_shows(self) -> None:
        told = hashed(input_reference=PICTURE)
        told["request"]["input_reference"]["sha256"] = "sha256:0"
        assert fault_of_change(told) is not None


class TestNoChange:
    @given(st.dictionaries(_TEXTS, VALUES, max_size=4))
    def test_is_seen_in_a_record_that_was_stored_and_read_again(self, extra: dict[str, Any]) -> None:
        told = record()
        told["request"]["extra_body"] = extra
        told["record_sha256"] = sha256_of_record(told)
        assert fault_of_change(json.loads(json.dumps(told, indent=2, sort_keys=True))) is None

    @pytest.mark.parametrize(("written", "read"), [(7.0, 7), (1e16, 10**16), (0.25, 0.250)])
    def test_is_seen_where_a_store_writes_a_number_in_another_way(self, written: float, read: float) -> None:
        told = hashed(guidance_scale=written)
        told["request"]["guidance_scale"] = read
        assert fault_of_change(told) is None

    def test_is_seen_where_files_were_moved_or_set_aside(self) -> None:
        told = hashed(input_reference=PICTURE)
        told["request"]["input_reference"]["uri"] = "s3://there/a.png"
        told["artifact"]["uri"] = "s3://there/a.mp4"
        told |= {"quarantine": {"reason": "blurred"}, "key": "tram", "labels": {}}
        assert fault_of_change(told) is None

    def test_is_seen_where_the_source_was_moved(self) -> None:
        source = Source(derivation=Derivation.REMIX, video_id="video_0", uri="s3://here/0.mp4")
        told = hashed(source=source, seed=None, size=None)
        told["request"]["source"]["uri"] = "s3://there/0.mp4"
        assert fault_of_change(told) is None
        told["request"]["source"]["video_id"] = "video_9"
        assert fault_of_change(told) is not None

    def test_is_seen_where_a_later_release_adds_a_parameter(self) -> None:
        told = hashed()
        told["request"]["fps"] = []
        del told["request"]["num_frames"]
        assert fault_of_change(told) is None

    def test_is_seen_in_a_record_of_an_older_release(self) -> None:
        told = record()
        told["request"]["prompt"] = "Another"
        assert fault_of_change(told) is None


class TestDoubts:
    @pytest.mark.parametrize("arguments", [{}, {"input_reference": PICTURE}, {"style_tuning": {"grain": 1.0}}])
    def test_there_are_none_where_the_digest_of_an_older_release_says_the_same(self, arguments: Any) -> None:
        assert not [*doubts(record(**arguments), account=ACCOUNT)]

    def test_there_are_none_of_a_record_with_its_hash_on_whatever_connection(self) -> None:
        assert not [*doubts(hashed(), account="sora_other@http://127.0.0.1/v1")]

    @pytest.mark.parametrize("change", [{"prompt": "A boat"}, {"seed": 8}, {"seconds": 4}, {"digest": "sha256:0"}])
    def test_there_is_one_where_the_digest_says_something_else(self, change: dict[str, Any]) -> None:
        told = record()
        told["request"] |= change
        (doubt,) = doubts(told, account=ACCOUNT)
        assert "Whether the record of the original was changed since is not known" in doubt

    def test_there_is_one_where_it_may_be_that_of_another_connection(self) -> None:
        (doubt,) = doubts(record(), account="sora_other@http://127.0.0.1/v1")
        assert "Of an original of another connection" in doubt

    def test_there_is_one_where_no_server_told_that_it_served_another_model(self) -> None:
        told = record()
        told["version"]["served_model"] = "wan-2.2"
        (doubt,) = doubts(told, account=ACCOUNT)
        assert doubt.startswith(f"On record are two snapshots: {SNAPSHOT} was asked for, and wan-2.2")
        answered = deepcopy(told)
        answered["warnings"] = [f"The server says that wan-2.2 renders it; {SNAPSHOT} was asked for."]
        assert not [*doubts(answered, account=ACCOUNT)]
