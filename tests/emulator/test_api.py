"""Jobs over HTTP, on a clock that the tests move."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from emulator.http_helpers import NEW, OLD, Emulate, create, error_of, image

from airflow_provider_sora.emulator.footage import inspect_video


class TestLifeOfAJob:
    def test_it_is_queued_then_rendered_then_downloaded(self, emulate: Emulate, clock: Any) -> None:
        client = emulate()
        video = create(client, seed=7)
        assert (video["status"], video["model"], video["seed"], video["seconds"]) == ("queued", NEW, 7, "10")
        clock.advance(20)
        video = client.get(f"/v1/videos/{video['id']}").json()
        assert video["status"] == "in_progress"
        assert 40 < video["progress"] < 60
        clock.advance(20)
        video = client.get(f"/v1/videos/{video['id']}").json()
        assert (video["status"], video["progress"]) == ("completed", 100)
        assert video["completed_at"] == int(clock.now)
        response = client.get(f"/v1/videos/{video['id']}/content")
        assert response.headers["content-type"] == "video/mp4"
        assert response.content[4:8] == b"ftyp"

    def test_the_older_snapshot_takes_45_s_for_10_s(self, emulate: Emulate, clock: Any) -> None:
        client = emulate()
        video = create(client, model=OLD)
        clock.advance(44.9)
        assert client.get(f"/v1/videos/{video['id']}").json()["status"] == "in_progress"
        clock.advance(0.1)
        assert client.get(f"/v1/videos/{video['id']}").json()["status"] == "completed"

    def test_a_seed_is_drawn_and_reported_where_none_was_sent(self, emulate: Emulate) -> None:
        client = emulate()
        seeds = {create(client)["seed"] for _ in range(5)}
        assert len(seeds) == 5
        assert None not in seeds

    def test_drawn_seeds_can_be_repeated(self, emulate: Emulate) -> None:
        runs = [[create(client)["seed"] for _ in range(3)] for client in (emulate(draw_seed=1), emulate(draw_seed=1))]
        assert runs[0] == runs[1]

    def test_answers_carry_a_request_id_and_when_to_poll(self, emulate: Emulate) -> None:
        client = emulate()
        response = client.post("/v1/videos", json={"prompt": "a cat", "seconds": 10})
        assert response.headers["openai-poll-after-ms"] == "4000"
        assert response.headers["x-request-id"].startswith("req_")
        assert client.get("/nowhere").headers["x-request-id"] != response.headers["x-request-id"]

    def test_content_of_an_unfinished_job_is_not_there_yet(self, emulate: Emulate) -> None:
        client = emulate()
        error = error_of(client.get(f"/v1/videos/{create(client)['id']}/content"), 404)
        assert error["code"] == "video_not_ready"
        assert "queued" in error["message"]

    def test_files_expire_and_the_job_is_still_known(self, emulate: Emulate, clock: Any) -> None:
        client = emulate(expire_after=60)
        video = create(client)
        clock.advance(40)
        assert client.get(f"/v1/videos/{video['id']}/content").status_code == 200
        clock.advance(60)
        error = error_of(client.get(f"/v1/videos/{video['id']}/content"), 410)
        assert error["code"] == "video_expired"
        known = client.get(f"/v1/videos/{video['id']}").json()
        assert known["status"] == "completed"
        assert known["expires_at"] <= clock.now


class TestFailures:
    def test_a_moderated_prompt_makes_a_job_that_fails(self, emulate: Emulate, clock: Any) -> None:
        client = emulate()
        video = create(client, prompt="a [Moderated] cat")
        clock.advance(10)
        failed = client.get(f"/v1/videos/{video['id']}").json()
        assert failed["status"] == "failed"
        assert failed["error"]["code"] == "moderation_blocked"
        assert error_of(client.get(f"/v1/videos/{video['id']}/content"), 404)["code"] == "video_failed"

    def test_a_refused_prompt_makes_no_job(self, emulate: Emulate) -> None:
        client = emulate()
        error = error_of(client.post("/v1/videos", json={"prompt": "a [refused] cat"}), 400)
        assert error["code"] == "moderation_blocked"
        assert client.get("/v1/videos").json()["data"] == []

    def test_every_job_fails_at_a_rate_of_one(self, emulate: Emulate, clock: Any) -> None:
        client = emulate(failure_rate=1.0)
        video = create(client)
        clock.advance(40)
        failed = client.get(f"/v1/videos/{video['id']}").json()
        assert (failed["status"], failed["error"]["code"]) == ("failed", "video_generation_failed")
        assert failed["completed_at"] is None


class TestRequests:
    def test_a_form_means_the_same_as_json(self, emulate: Emulate) -> None:
        client = emulate()
        fields = {"prompt": "小橘猫", "seconds": "10", "size": "1280x720", "seed": "7", "model": "sora-2"}
        files = {"input_reference": ("cat.png", image(), "image/png")}
        form = client.post("/v1/videos", data=fields, files=files).json()
        assert (form["prompt"], form["seconds"], form["seed"]) == ("小橘猫", "10", 7)

    def test_nested_form_fields_hold_json(self, emulate: Emulate) -> None:
        client = emulate()
        storyboard = '{"scenes": [{"start": 0, "end": 5, "prompt": "dawn"}]}'
        response = client.post("/v1/videos", files={"prompt": (None, "a"), "storyboard": (None, storyboard)})
        assert response.json()["storyboard"]["scenes"][0]["prompt"] == "dawn"
        broken = client.post("/v1/videos", files={"prompt": (None, "a"), "storyboard": (None, "{")})
        assert error_of(broken, 400)["param"] == "storyboard"

    def test_a_reference_image_may_be_a_data_url(self, emulate: Emulate) -> None:
        client = emulate()
        url = f"data:image/png;base64,{base64.b64encode(image()).decode()}"
        create(client, input_reference={"image_url": url})

    @pytest.mark.parametrize(
        "reference", ["cat.png", {"image_url": "https://example.org/cat.png"}, {"image_url": "data:image/png;base64,x"}]
    )
    def test_other_references_are_refused(self, emulate: Emulate, reference: object) -> None:
        response = emulate().post("/v1/videos", json={"prompt": "a", "input_reference": reference})
        assert error_of(response, 400)["param"] == "input_reference"

    @pytest.mark.parametrize("content", [b"not an image", image()[:90], image("JPEG")[:-300]])
    def test_a_file_that_is_no_whole_image_is_refused(self, emulate: Emulate, content: bytes) -> None:
        files = {"input_reference": ("cat.png", content, "image/png")}
        response = emulate().post("/v1/videos", data={"prompt": "a"}, files=files)
        assert error_of(response, 400)["param"] == "input_reference"

    def test_nulls_count_as_absent(self, emulate: Emulate) -> None:
        create(emulate(), seed=None, style=None, storyboard=None)

    @pytest.mark.parametrize(
        ("content", "kind", "status", "code"),
        [
            (b"{", "application/json", 400, "invalid_json"),
            (b"[]", "application/json", 400, "invalid_json"),
            (b"\xff", "application/json", 400, "invalid_json"),
            (b'{"prompt": "\\ud800"}', "application/json", 400, "invalid_json"),
            (b"[" * 100_000, "application/json", 400, "invalid_json"),
            (b"prompt=a", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
            (b"nothing", "multipart/form-data", 400, "invalid_multipart"),
            (b"nothing", "multipart/form-data; boundary=x", 400, "invalid_multipart"),
        ],
    )
    def test_bodies_that_cannot_be_read_are_refused(
        self, emulate: Emulate, content: bytes, kind: str, status: int, code: str
    ) -> None:
        response = emulate().post("/v1/videos", content=content, headers={"Content-Type": kind})
        assert error_of(response, status)["code"] == code

    def test_unknown_urls_and_methods_answer_in_the_same_shape(self, emulate: Emulate) -> None:
        client = emulate()
        assert error_of(client.get("/videos"), 404)["code"] == "unknown_url"
        assert error_of(client.put("/v1/videos", json={}), 405)["code"] == "method_not_allowed"
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/content"), ("POST", "/remix")):
            response = client.request(method, f"/v1/videos/video_none{path}", json={} if method == "POST" else None)
            assert error_of(response, 404)["code"] == "video_not_found"


class TestApiKey:
    def test_any_key_and_none_is_accepted_by_default(self, emulate: Emulate) -> None:
        client = emulate()
        assert client.get("/v1/models").status_code == 200
        assert client.get("/v1/models", headers={"Authorization": "Bearer any"}).status_code == 200

    def test_only_the_configured_key_is_accepted(self, emulate: Emulate) -> None:
        client = emulate(api_key="the-key")
        assert error_of(client.get("/v1/models"), 401)["code"] == "missing_api_key"
        wrong = client.get("/v1/models", headers={"Authorization": "Bearer another-key"})
        assert error_of(wrong, 401)["code"] == "invalid_api_key"
        assert "key" not in wrong.text.replace("API key", "").replace("invalid_api_key", "")
        assert client.get("/v1/models", headers={"Authorization": "Bearer the-key"}).status_code == 200

    def test_health_needs_no_key(self, emulate: Emulate) -> None:
        assert emulate(api_key="the-key").get("/health").json() == {"status": "ok"}


class TestIdempotency:
    def test_the_same_request_is_answered_with_the_same_job(self, emulate: Emulate) -> None:
        client = emulate()
        request: dict[str, Any] = {"json": {"prompt": "a"}, "headers": {"Idempotency-Key": "k"}}
        one, two = client.post("/v1/videos", **request), client.post("/v1/videos", **request)
        assert two.status_code == 200
        assert one.json()["id"] == two.json()["id"]
        stats = client.get("/_emulator/stats").json()
        assert (stats["jobs"]["created"], stats["replays"]) == (1, 1)

    def test_another_body_is_refused(self, emulate: Emulate) -> None:
        client = emulate()
        client.post("/v1/videos", json={"prompt": "a"}, headers={"Idempotency-Key": "k"})
        response = client.post("/v1/videos", json={"prompt": "b"}, headers={"Idempotency-Key": "k"})
        assert error_of(response, 422)["code"] == "idempotency_key_reused"

    def test_a_deleted_video_is_not_made_again(self, emulate: Emulate) -> None:
        client = emulate()
        request: dict[str, Any] = {"json": {"prompt": "a"}, "headers": {"Idempotency-Key": "k"}}
        client.delete(f"/v1/videos/{client.post('/v1/videos', **request).json()['id']}")
        assert error_of(client.post("/v1/videos", **request), 410)["code"] == "video_deleted"

    def test_concurrent_duplicates_make_one_job(self, emulate: Emulate) -> None:
        client = emulate()
        request: dict[str, Any] = {"json": {"prompt": "a"}, "headers": {"Idempotency-Key": "k"}}
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: client.post("/v1/videos", **request).json()["id"], range(24)))
        assert len(set(answers)) == 1
        assert client.get("/_emulator/stats").json()["jobs"]["created"] == 1

    def test_a_refused_request_does_not_use_the_key_up(self, emulate: Emulate) -> None:
        client = emulate()
        headers = {"Idempotency-Key": "k"}
        assert client.post("/v1/videos", json={"prompt": ""}, headers=headers).status_code == 400
        assert client.post("/v1/videos", json={"prompt": "a"}, headers=headers).status_code == 200


class TestLimits:
    def test_calls_over_the_rate_are_told_when_to_come_back(self, emulate: Emulate, clock: Any) -> None:
        client = emulate(requests_per_minute=2)
        create(client)
        clock.advance(15)
        create(client)
        response = client.post("/v1/videos", json={"prompt": "a"})
        assert error_of(response, 429)["code"] == "rate_limit_exceeded"
        assert response.headers["retry-after"] == "45"
        clock.advance(45)
        create(client)

    def test_unfinished_jobs_are_limited(self, emulate: Emulate, clock: Any) -> None:
        client = emulate(max_in_flight=1)
        create(client)
        response = client.post("/v1/videos", json={"prompt": "a"})
        assert error_of(response, 429)["code"] == "rate_limit_exceeded"
        assert response.headers["retry-after"] == "40"
        clock.advance(40)
        create(client)

    def test_a_replay_is_not_limited(self, emulate: Emulate) -> None:
        client = emulate(max_in_flight=1)
        request: dict[str, Any] = {"json": {"prompt": "a"}, "headers": {"Idempotency-Key": "k"}}
        assert [client.post("/v1/videos", **request).status_code for _ in range(3)] == [200, 200, 200]


class TestList:
    def test_pages_follow_one_another(self, emulate: Emulate) -> None:
        client = emulate()
        ids = [create(client)["id"] for _ in range(5)]
        page = client.get("/v1/videos", params={"limit": 2, "order": "asc"}).json()
        assert [video["id"] for video in page["data"]] == ids[:2]
        assert page["has_more"]
        page = client.get("/v1/videos", params={"limit": 3, "order": "asc", "after": page["last_id"]}).json()
        assert [video["id"] for video in page["data"]] == ids[2:]
        assert not page["has_more"]

    def test_the_newest_comes_first(self, emulate: Emulate) -> None:
        client = emulate()
        ids = [create(client)["id"] for _ in range(3)]
        assert [video["id"] for video in client.get("/v1/videos").json()["data"]] == ids[::-1]

    @pytest.mark.parametrize(
        "query", [{"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"order": "up"}, {"after": "x"}]
    )
    def test_wrong_queries_are_refused(self, emulate: Emulate, query: dict[str, str]) -> None:
        assert error_of(emulate().get("/v1/videos", params=query), 400)["param"] in query


class TestDelete:
    def test_a_deleted_job_is_gone(self, emulate: Emulate, clock: Any) -> None:
        client = emulate()
        video = create(client)
        clock.advance(40)
        assert client.delete(f"/v1/videos/{video['id']}").json() == {
            "id": video["id"],
            "object": "video.deleted",
            "deleted": True,
        }
        assert client.get(f"/v1/videos/{video['id']}").status_code == 404
        assert client.get("/_emulator/stats").json()["jobs"]["deleted"] == 1

    def test_a_running_job_is_cancelled(self, emulate: Emulate) -> None:
        client = emulate(max_in_flight=1)
        client.delete(f"/v1/videos/{create(client)['id']}")
        jobs = client.get("/_emulator/stats").json()["jobs"]
        assert (jobs["cancelled"], jobs["deleted"], jobs["running"]) == (1, 0, 0)
        create(client)


class TestFlaws:
    """What is wrong with a clip on purpose meets the jobs of one snapshot, and leaves the request as it is."""

    def arm(self, client: Any, *faults: dict[str, Any]) -> None:
        assert client.post("/_emulator/faults", json=list(faults)).status_code == 200

    def content(self, client: Any, video: dict[str, Any]) -> bytes:
        response = client.get(f"/v1/videos/{video['id']}/content")
        assert response.status_code == 200
        return bytes(response.content)

    def test_jobs_of_one_snapshot_can_be_slower(self, emulate: Emulate, clock: Any) -> None:
        client = emulate(faults=True)
        self.arm(client, {"kind": "slow_job", "model": NEW, "factor": 1.5, "times": None})
        slow, usual = create(client, model=NEW), create(client, model=OLD)
        clock.advance(45)
        assert client.get(f"/v1/videos/{usual['id']}").json()["status"] == "completed"
        assert client.get(f"/v1/videos/{slow['id']}").json()["status"] == "in_progress"
        clock.advance(15)
        slow = client.get(f"/v1/videos/{slow['id']}").json()
        assert slow["status"] == "completed"

    def test_clips_of_one_snapshot_can_be_wrong(self, emulate: Emulate, clock: Any) -> None:
        client = emulate(faults=True)
        right = create(client, model=NEW, seed=7)
        self.arm(client, {"kind": "wrong_length", "model": NEW}, {"kind": "mute_clip", "model": NEW})
        wrong = create(client, model=NEW, seed=7)
        again = create(client, model=NEW, seed=7)
        clock.advance(60)
        assert wrong["seconds"] == "10"
        assert inspect_video(self.content(client, wrong), "video").seconds == 5
        assert self.content(client, right) == self.content(client, again) != self.content(client, wrong)

    def test_as_many_clips_are_wrong_as_were_armed_whatever_jobs_fail_between(
        self, emulate: Emulate, clock: Any
    ) -> None:
        client = emulate(faults=True)
        self.arm(client, {"kind": "wrong_length", "times": 2}, {"kind": "fail_job", "times": 2})
        create(client, prompt="[moderated]")
        made = [create(client, seed=seed) for seed in range(5)]
        clock.advance(60)
        jobs = [client.get(f"/v1/videos/{each['id']}").json() for each in made]
        assert [job["status"] for job in jobs] == ["failed"] + ["completed"] * 4
        lengths = [inspect_video(self.content(client, job), "video").seconds for job in jobs[1:]]
        assert lengths == [5, 5, 10, 10]

    def test_a_remix_of_a_wrong_clip_is_right_again(self, emulate: Emulate, clock: Any) -> None:
        client = emulate(faults=True)
        self.arm(client, {"kind": "wrong_length"})
        wrong = create(client)
        clock.advance(60)
        remix = client.post(f"/v1/videos/{wrong['id']}/remix", json={"prompt": "a dog"}).json()
        clock.advance(60)
        assert inspect_video(self.content(client, remix), "video").seconds == 10

    def test_a_wrong_clip_stays_wrong_after_a_restart(self, emulate: Emulate, clock: Any, tmp_path: Path) -> None:
        folder = tmp_path / "store"
        with emulate(faults=True, store=folder) as client:
            self.arm(client, {"kind": "wrong_length"})
            wrong = create(client)
        clock.advance(60)
        assert inspect_video(self.content(emulate(store=folder), wrong), "video").seconds == 5


def test_the_routes_of_faults_exist_only_where_they_are_allowed(emulate: Emulate) -> None:
    assert emulate().get("/_emulator/faults").status_code == 404
    assert emulate(faults=True).get("/_emulator/faults").json() == {"armed": []}
