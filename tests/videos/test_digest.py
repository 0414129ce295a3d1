"""The digest names a clip: a task that comes back to life finds its job again by it, so it must not be unsteady."""

import hashlib
import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_sora.videos.cameo import Cameo
from airflow_provider_sora.videos.request import InputReference, VideoRequest
from airflow_provider_sora.videos.source import Derivation, Source
from airflow_provider_sora.videos.storyboard import Scene, Storyboard
from airflow_provider_sora.videos.style import StyleTuning


def cameos(*ids: str) -> tuple[Cameo, ...]:
    return tuple(Cameo(reference=each) for each in ids)


SNAPSHOT = "sora-2-2025-12-08"
ACCOUNT = "sora_default http://127.0.0.1:8189/v1"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
pictures = st.builds(
    InputReference,
    name=st.text(max_size=5),
    media_type=st.sampled_from(["image/png", "image/jpeg"]),
    data=st.binary(max_size=5),
)
amounts = st.none() | st.floats(0, 1)
counts = st.none() | st.integers(1, 1000)
characters = st.builds(Cameo, reference=st.text(min_size=1, max_size=4), name=st.none() | st.text(max_size=4))
storyboards = st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=3).map(
    lambda prompts: Storyboard(
        tuple(Scene(start=place, end=place + 1, prompt=prompt) for place, prompt in enumerate(prompts))
    )
)
sources = st.builds(Source, derivation=st.sampled_from(Derivation), video_id=st.text(min_size=1, max_size=5))
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "prompt": st.text(min_size=1, max_size=20),
    "seconds": st.integers(1, 60),
    "size": st.none() | st.sampled_from(["1280x720", "720x1280"]),
    "style": st.none() | st.sampled_from(["comic", "news"]),
    "style_tuning": st.none() | st.builds(StyleTuning, contrast=st.floats(0, 1), grain=amounts),
    "seed": st.none() | st.integers(),
    "negative_prompt": st.none() | st.text(min_size=1, max_size=5),
    "fps": counts,
    "num_frames": counts,
    "guidance_scale": amounts,
    "num_inference_steps": counts,
    "input_reference": st.none() | pictures,
    "cameos": st.lists(characters, max_size=3).map(tuple),
    "storyboard": st.none() | storyboards,
    "render_as": st.none() | st.sampled_from(["native", "prompt", "stitch"]),
    "continuity": st.none() | st.sampled_from(["last_frame", "none"]),
    "source": st.none() | sources,
    "extra_body": st.dictionaries(st.text(max_size=4), json_values, max_size=3),
}
requests = st.builds(VideoRequest, **FIELDS)


def digest(request: VideoRequest, *, snapshot: str = SNAPSHOT, account: str = ACCOUNT) -> str:
    return request.digest(snapshot=snapshot, account=account)


def reordered(value: Any) -> Any:
    """The same value with the keys of each mapping in the opposite order."""
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return [reordered(item) for item in value] if isinstance(value, list) else value


def test_every_field_of_a_request_is_covered_here() -> None:
    assert set(FIELDS) == set(VideoRequest.__dataclass_fields__)


@settings(deadline=None)
@given(request=requests)
def test_it_is_a_sha256_whatever_is_asked(request: VideoRequest) -> None:
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", digest(request))


@settings(deadline=None)
@given(request=requests)
def test_the_same_request_has_the_same_digest(request: VideoRequest) -> None:
    assert digest(request) == digest(replace(request))


@pytest.mark.parametrize("name", FIELDS)
@settings(deadline=None)
@given(request=requests, data=st.data())
def test_any_single_field_changes_it(name: str, request: VideoRequest, data: st.DataObject) -> None:
    written = json.dumps(replace(request).to_dict()[name], sort_keys=True)
    other = data.draw(
        FIELDS[name]
        .map(lambda value: replace(request, **{name: value}))
        .filter(lambda changed: json.dumps(changed.to_dict()[name], sort_keys=True) != written)
    )
    assert digest(other) != digest(request)


@pytest.mark.parametrize("changed", [{"name": "b.png"}, {"media_type": "image/jpeg"}, {"data": b"other"}])
def test_any_part_of_a_picture_changes_it(changed: dict[str, Any]) -> None:
    picture = InputReference(name="a.png", media_type="image/png", data=b"one")
    before = VideoRequest(prompt="a cat", input_reference=picture)
    after = VideoRequest(prompt="a cat", input_reference=replace(picture, **changed))
    assert digest(before) != digest(after)


def test_the_order_of_cameos_changes_it() -> None:
    assert digest(VideoRequest(prompt="x", cameos=cameos("a", "b"))) != digest(
        VideoRequest(prompt="x", cameos=cameos("b", "a"))
    )


@settings(deadline=None)
@given(request=requests)
def test_snapshot_and_account_change_it_and_are_not_mistaken_for_each_other(request: VideoRequest) -> None:
    digests = {
        digest(request),
        digest(request, snapshot="sora-2-2025-10-06"),
        digest(request, account="sora_other http://127.0.0.1:8189/v1"),
        digest(request, snapshot=ACCOUNT, account=SNAPSHOT),
    }
    assert len(digests) == 4


def test_an_extra_parameter_cannot_pose_as_snapshot_or_account() -> None:
    posing = VideoRequest(prompt="x", extra_body={"snapshot": "other", "account": "other"})
    assert digest(posing) != digest(posing, snapshot="other", account="other")


@settings(deadline=None)
@given(extra_body=FIELDS["extra_body"])
def test_the_order_of_keys_does_not_change_it(extra_body: dict[str, Any]) -> None:
    request = VideoRequest(prompt="a cat", extra_body=extra_body)
    assert digest(request) == digest(replace(request, extra_body=reordered(extra_body)))


def test_a_number_that_came_as_text_does_not_change_it() -> None:
    assert digest(VideoRequest.parse(prompt="x", seconds="10", seed="7")) == digest(
        VideoRequest.parse(prompt="x", seconds=10.0, seed=7)
    )


def test_it_stays_the_same_from_release_to_release() -> None:
    """A changed digest would make every job in flight unknown to its own task, and it would be paid twice."""
    request = VideoRequest.parse(
        prompt="@小橘猫 jumps",
        seconds=20,
        size="1280x720",
        style="comic",
        seed=7,
        cameos=["cameo_1"],
        input_reference=InputReference(name="a.png", media_type="image/png", data=b"\x89PNG"),
        extra_body={"audio": True, "deep": {"b": 1, "a": [1, None]}},
    )
    assert digest(request) == "sha256:d59cd6450bb4e8faf0c3679da49aa7303c8d0e4bfc62c81d51ad0ced5d0da13f"


def test_what_was_not_given_has_no_part_in_it() -> None:
    """So that a parameter which a later release adds renames no job that is in flight."""
    given = {"account": ACCOUNT, "prompt": "x", "seconds": 10, "snapshot": SNAPSHOT}
    written = json.dumps(given, sort_keys=True, separators=(",", ":"))
    assert digest(VideoRequest(prompt="x")) == f"sha256:{hashlib.sha256(written.encode()).hexdigest()}"


@pytest.mark.parametrize("other", [{"description": "a red cat"}, {"picture": "/other.png"}])
def test_what_a_cameo_without_a_server_is_made_of_changes_it(other: dict[str, str]) -> None:
    """Where a server knows no characters, these two are what is rendered."""
    cameo = Cameo(reference="Ann", name="Ann", description="a cat", picture="/ann.png")
    before, after = (
        VideoRequest(prompt="@Ann", cameos=(cameo,)),
        VideoRequest(prompt="@Ann", cameos=(replace(cameo, **other),)),
    )
    assert digest(before) != digest(after)


def test_what_is_known_of_a_servers_cameo_beside_its_id_does_not_change_it() -> None:
    cameo = Cameo(reference="cameo_1", id="cameo_1", name="Ann", description="a cat", picture="/ann.png")
    before = VideoRequest(prompt="@Ann", cameos=(cameo,))
    after = VideoRequest(prompt="@Ann", cameos=(replace(cameo, description="", picture=None),))
    assert digest(before) == digest(after)


def test_nothing_that_identifies_a_secret_goes_in() -> None:
    """Key, headers and proxy are not even arguments; bytes of a picture go in as their hash alone."""
    request = VideoRequest(
        prompt="x", input_reference=InputReference(name="a", media_type="image/png", data=b"private-bytes")
    )
    assert "private-bytes" not in json.dumps(request.to_dict())
    assert "data" not in request.to_dict()["input_reference"]
