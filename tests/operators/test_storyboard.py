"""Several scenes in one clip: as the server has it, as one prompt, or a job each, joined."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowTaskTerminated
from emulator_process import EmulatorProcess
from task_double import StateStoreDouble, TaskInstanceDouble, defer_task, files_in, fire, resume_task, run_task

from airflow_provider_sora.exceptions import InvalidRequestError, RejectedError, VideoFailedError
from airflow_provider_sora.failures import SoraFailException
from airflow_provider_sora.hooks.sora import SoraHook
from airflow_provider_sora.media.probe import probe
from airflow_provider_sora.operators import interruption, waiting
from airflow_provider_sora.operators.video import SoraStoryboardOperator

SCENES = [
    {"start": 0, "end": 4, "prompt": "A lantern is lit"},
    {"start": 4, "end": 8, "prompt": "It rises"},
    {"start": 8, "end": 12, "prompt": "It is a star"},
]


class Killed(BaseException):
    """The process ends here: nothing of the provider may catch it."""


def scene(start: float, end: float) -> dict[str, Any]:
    return {"start": start, "end": end, "prompt": "A lantern"}


def storyboard(**arguments: Any) -> SoraStoryboardOperator:
    defaults: dict[str, Any] = {"scenes": SCENES, "poll_interval": 0.05, "size": "1280x720", "deferrable": False}
    return SoraStoryboardOperator(task_id="film", **{**defaults, **arguments})


def jobs(emulator: EmulatorProcess) -> int:
    made: int = emulator.stats()["jobs"]["created"]
    return made


@pytest.fixture
def plain(sora: EmulatorProcess, connect: Any) -> Iterator[EmulatorProcess]:
    """The emulator as a server that has no storyboards."""
    connect(sora.base_url, backend="openai")
    yield sora
    sora.disarm()


class TestAServerWithStoryboards:
    def test_gets_one(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        before = jobs(sora)
        result = run_task(storyboard(output_path=str(tmp_path), prompt="A film of light", style="news"))
        assert result["request"]["rendered_as"] == "native"
        assert result["request"]["storyboard"] == {"scenes": SCENES}
        assert result["artifact"]["duration"] == pytest.approx(12, abs=0.2)
        assert (jobs(sora) - before, result["request"]["seconds"]) == (1, 12)

    def test_gets_one_prompt_where_the_author_wants_it(self, sora: EmulatorProcess) -> None:
        result = run_task(storyboard(render_as="prompt", prompt="A film of light"))
        assert result["request"]["rendered_as"] == "prompt"
        assert result["request"]["sent_prompt"] == (
            "A film of light\n"
            "Shot 1, from 0 s to 4 s: A lantern is lit\n"
            "Shot 2, from 4 s to 8 s: It rises\n"
            "Shot 3, from 8 s to 12 s: It is a star"
        )

    def test_refuses_one_on_a_snapshot_without_them_before_anything_is_paid_for(self, sora: EmulatorProcess) -> None:
        before = jobs(sora)
        with pytest.raises(SoraFailException, match=r"2025-10-06 has no storyboards.* These can: sora-2-2025-12-08"):
            run_task(storyboard(model="stable"))
        assert jobs(sora) == before

    def test_renders_one_as_a_prompt_on_a_snapshot_without_them(self, sora: EmulatorProcess) -> None:
        assert run_task(storyboard(model="stable", render_as="prompt"))["status"] == "completed"


class TestScenesOfAFile:
    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("scenes.json", json.dumps(SCENES)),
            ("scenes.json", json.dumps({"scenes": SCENES})),
            ("scenes.yaml", "\n".join(f"- {json.dumps(scene)}" for scene in SCENES)),
            ("scenes.csv", "start,end,prompt\n0,4,A lantern is lit\n4,8,It rises\n8,12,It is a star\n"),
            ("scenes.CSV", "\ufeffPrompt,Start ,End\nA lantern is lit,0,4\nIt rises,4,8\nIt is a star,8,12\n"),
        ],
    )
    def test_are_those_of_a_list(self, name: str, text: str, sora: EmulatorProcess, tmp_path: Path) -> None:
        file = tmp_path / name
        file.write_text(text, encoding="utf-8")
        assert run_task(storyboard(scenes=str(file)))["request"]["storyboard"] == {"scenes": SCENES}

    @pytest.mark.parametrize(
        ("name", "text", "told"),
        [
            ("scenes.json", '{"scenes": [secret', "is not a JSON file, near line 1"),
            ("scenes.yaml", "a: [secret\nb: {", "is not a YAML file"),
            ("scenes.yaml", "secret", "scenes are a list"),
            ("scenes.csv", "start,end\n0,4\n", "has the columns start, end, and needs start, end, prompt"),
            ("scenes.csv", "start,end,prompt\n0,4,A kite, secret\n", "near line 2. Put a prompt with commas into"),
            ("scenes.csv", "", "at least one scene"),
            ("scenes.json", "[" * 100_000, "is not a JSON file"),
        ],
    )
    def test_that_is_malformed_is_refused_without_showing_what_is_in_it(
        self, name: str, text: str, told: str, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        (tmp_path / name).write_text(text, encoding="utf-8")
        with pytest.raises(SoraFailException, match=told) as failed:
            run_task(storyboard(scenes=str(tmp_path / name)))
        assert "secret" not in str(failed.value)

    @pytest.mark.parametrize("path", ["/etc/shadow.json", "missing.csv", "scenes.txt", "/etc/shadow"])
    def test_that_may_not_or_cannot_be_read_is_refused(self, path: str, sora: EmulatorProcess) -> None:
        with pytest.raises(SoraFailException, match="Nothing was submitted: scenes"):
            run_task(storyboard(scenes=path))


class TestAServerWithoutStoryboards:
    def test_gets_one_prompt_by_default(self, plain: EmulatorProcess) -> None:
        before = jobs(plain)
        result = run_task(storyboard())
        assert result["request"]["rendered_as"] == "prompt"
        assert jobs(plain) - before == 1

    def test_renders_scene_after_scene_and_each_begins_where_the_one_before_it_ends(
        self, plain: EmulatorProcess, tmp_path: Path
    ) -> None:
        before, ti = jobs(plain), TaskInstanceDouble(task_id="film")
        result = run_task(storyboard(render_as="stitch", output_path=str(tmp_path)), ti)
        assert jobs(plain) - before == 3
        assert result["request"]["rendered_as"] == "stitch"
        assert result["video_id"] is None
        assert len({scene["video_id"] for scene in result["scenes"]}) == 3
        info = probe(Path(result["artifact"]["uri"].removeprefix("file://")))
        assert info is not None
        assert info.duration == pytest.approx(12, abs=0.2)
        assert info.audio
        asked = [ti.state[f"sora_submission_scene-{place}"]["result"]["request"] for place in (1, 2, 3)]
        assert asked[0]["input_reference"] is None
        assert asked[1]["input_reference"]["sha256"] == (f"last frame of {result['scenes'][0]['artifact']['sha256']}")
        assert (result["attempts"], result["usage"]["video_seconds"]) == (
            {"submissions": 3, "first_attempt_failed": False},
            12,
        )

    def test_renders_all_scenes_at_the_same_time_where_they_need_not_follow_each_other(
        self, plain: EmulatorProcess, tmp_path: Path
    ) -> None:
        result = run_task(storyboard(render_as="stitch", continuity="none", output_path=str(tmp_path)))
        assert result["artifact"]["duration"] == pytest.approx(12, abs=0.2)
        assert [name.endswith(".json") for name in files_in(tmp_path)].count(True) == 4 + 3

    def test_waits_for_each_scene_in_the_triggerer(
        self, plain: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(waiting, "_WAIT_IN_WORKER", 0.0)
        from airflow_provider_sora.triggers import video

        monkeypatch.setattr(video, "SHORTEST_DEFERRAL", 0.0)
        monkeypatch.setattr(waiting, "SHORTEST_DEFERRAL", 0.0)
        before, ti = jobs(plain), TaskInstanceDouble(task_id="film")
        operator = storyboard(render_as="stitch", output_path=str(tmp_path), deferrable=True)
        deferred = defer_task(operator, ti)
        for _ in range(2):
            again = storyboard(render_as="stitch", output_path=str(tmp_path), deferrable=True)
            with pytest.raises(type(deferred)) as caught:
                resume_task(again, deferred, fire(deferred), ti)
            deferred = caught.value
        last = storyboard(render_as="stitch", output_path=str(tmp_path), deferrable=True)
        result = resume_task(last, deferred, fire(deferred), ti)
        assert result["artifact"]["duration"] == pytest.approx(12, abs=0.2)
        assert jobs(plain) - before == 3

    @pytest.mark.parametrize("dies_in", ["scene-1", "scene-2", "scene-3", "the join"])
    def test_pays_for_no_scene_twice_after_a_crash(
        self, dies_in: str, plain: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before, ti = jobs(plain), TaskInstanceDouble(task_id="film")
        really_set = StateStoreDouble.set

        def dying(self: StateStoreDouble, key: str, value: Any) -> None:
            really_set(self, key, value)
            if key.endswith(dies_in) and value["phase"] == "submitted":
                raise Killed

        def no_join(*_: Any) -> None:
            raise Killed

        with monkeypatch.context() as crash:
            crash.setattr(StateStoreDouble, "set", dying)
            if dies_in == "the join":
                crash.setattr("airflow_provider_sora.operators.stitching.join", no_join)
            with pytest.raises(Killed):
                run_task(storyboard(render_as="stitch", output_path=str(tmp_path)), ti)
        result = run_task(storyboard(render_as="stitch", output_path=str(tmp_path)), ti)
        assert result["artifact"]["duration"] == pytest.approx(12, abs=0.2)
        assert jobs(plain) - before == 3

    def test_takes_the_whole_clip_of_an_earlier_attempt(self, plain: EmulatorProcess, tmp_path: Path) -> None:
        ti = TaskInstanceDouble(task_id="film")
        first = run_task(storyboard(render_as="stitch", output_path=str(tmp_path)), ti)
        before = plain.stats()["requests"]
        again = run_task(storyboard(render_as="stitch", output_path=str(tmp_path)), ti)
        assert again == first
        assert plain.stats()["requests"]["create"] == before["create"]
        assert plain.stats()["requests"]["content"] == before["content"]

    def test_refuses_what_a_later_scene_cannot_be_rendered_with_before_the_first_is_paid_for(
        self, plain: EmulatorProcess, tmp_path: Path
    ) -> None:
        before = jobs(plain)
        long = [*SCENES, {"start": 12, "end": 60, "prompt": "And shines"}]
        with pytest.raises(SoraFailException, match=r"Scene 4: .*renders at most"):
            run_task(storyboard(scenes=long, render_as="stitch", output_path=str(tmp_path)))
        assert jobs(plain) == before

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            ({"output_path": None}, "needs an output_path"),
            ({"wait_for_completion": False}, "needs an output_path and waits"),
            ({"render_as": "native"}, "takes a storyboard as prompt, not as native"),
            ({"render_as": "film"}, "render_as is one of None, native, prompt, stitch, not 'film'"),
            ({"continuity": "magic"}, "continuity is one of last_frame, none, not 'magic'"),
            (
                {"scenes": [{"start": 0, "end": 2.5, "prompt": "x"}, {"start": 2.5, "end": 5, "prompt": "y"}]},
                r"lasts 2\.5",
            ),
            (
                {"scenes": [{"start": 0, "end": 5, "prompt": "x"}, {"start": 4, "end": 8, "prompt": "y"}]},
                "before scene 1 ends",
            ),
            ({"scenes": []}, "at least one scene"),
            ({"seconds": 10}, "seconds is 10, and the last scene ends at 12 s: leave it out"),
        ],
    )
    def test_refuses_what_cannot_be_done(
        self, arguments: dict[str, Any], told: str, plain: EmulatorProcess, tmp_path: Path
    ) -> None:
        before = jobs(plain)
        with pytest.raises(SoraFailException, match=told):
            run_task(storyboard(**{"render_as": "stitch", "output_path": str(tmp_path), **arguments}))
        assert jobs(plain) == before

    def test_tells_a_failed_scene_and_goes_on_with_it_in_a_retry(self, plain: EmulatorProcess, tmp_path: Path) -> None:
        before, ti = jobs(plain), TaskInstanceDouble(task_id="film")
        plain.arm({"kind": "fail_job"})
        with pytest.raises(Exception, match="failed at the server"):
            run_task(storyboard(render_as="stitch", output_path=str(tmp_path)), ti)
        assert ti.xcoms["return_value"]["error"] is not None
        plain.disarm()
        assert run_task(storyboard(render_as="stitch", output_path=str(tmp_path)), ti)["artifact"] is not None
        assert jobs(plain) - before == 4


class TestScenesThatAreRenderedAtTheSameTime:
    def film(self, folder: Path, **arguments: Any) -> SoraStoryboardOperator:
        return storyboard(render_as="stitch", continuity="none", output_path=str(folder), **arguments)

    def test_are_not_paid_for_again_where_the_servers_copies_are_deleted(
        self, plain: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before, ti = jobs(plain), TaskInstanceDouble(task_id="film")

        def no_join(*_: Any) -> None:
            raise Killed

        with monkeypatch.context() as crash:
            crash.setattr("airflow_provider_sora.operators.stitching.join", no_join)
            for _ in range(2):
                with pytest.raises(Killed):
                    run_task(self.film(tmp_path, delete_remote=True), ti)
        assert run_task(self.film(tmp_path, delete_remote=True), ti)["artifact"] is not None
        assert jobs(plain) - before == 3

    def test_are_all_stopped_with_the_task(
        self, sora: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(interruption, "has_ended", lambda **_: True)
        cancelled = sora.stats()["jobs"]["cancelled"]
        sora.arm({"kind": "stall_job", "times": 3})
        operator, made = self.film(tmp_path, poll_interval=30), jobs(sora)

        def kill_when_all_are_submitted() -> None:
            while jobs(sora) < made + 3:
                time.sleep(0.05)
            time.sleep(0.5)
            operator.on_kill()

        threading.Thread(target=kill_when_all_are_submitted, daemon=True).start()
        with pytest.raises(AirflowTaskTerminated):
            run_task(operator)
        assert sora.stats()["jobs"]["cancelled"] == cancelled + 3

    def test_are_told_to_the_trigger_which_stops_them_all(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        sora.arm({"kind": "stall_job", "times": 3})
        deferred = defer_task(self.film(tmp_path, deferrable=True, job_timeout=3600), TaskInstanceDouble())
        _, kwargs = deferred.trigger.serialize()
        assert len({kwargs["video_id"], *kwargs["siblings"]}) == 3
        for video_id in {kwargs["video_id"], *kwargs["siblings"]}:
            SoraHook().delete_video(video_id)

    def test_that_keep_failing_are_told_and_not_paid_for_without_end(
        self, plain: EmulatorProcess, tmp_path: Path
    ) -> None:
        before, ti = jobs(plain), TaskInstanceDouble(task_id="film")
        plain.arm({"kind": "fail_job", "times": None})
        with pytest.raises(VideoFailedError):
            run_task(self.film(tmp_path), ti)
        assert jobs(plain) - before == 3

    def test_of_which_one_is_refused_are_not_left_running(
        self, sora: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cancelled, really_create = sora.stats()["jobs"]["cancelled"], SoraHook.create_video

        def refuse_the_third(hook: SoraHook, rendition: Any, **named: Any) -> Any:
            if "star" in rendition.request.prompt:
                raise RejectedError("POST /videos: answered 400: no stars", status_code=400)
            return really_create(hook, rendition, **named)

        monkeypatch.setattr(SoraHook, "create_video", refuse_the_third)
        sora.arm({"kind": "stall_job", "times": 2})
        with pytest.raises(SoraFailException, match="no stars"):
            run_task(self.film(tmp_path), TaskInstanceDouble(task_id="film"))
        assert sora.stats()["jobs"]["cancelled"] == cancelled + 2

    def test_are_told_to_each_trigger_until_they_are_kept(
        self, sora: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from airflow_provider_sora.triggers import video

        for module in (waiting, video):
            monkeypatch.setattr(module, "SHORTEST_DEFERRAL", 0.0)
        monkeypatch.setattr(waiting, "_WAIT_IN_WORKER", 0.0)
        ti = TaskInstanceDouble(task_id="film")
        first = defer_task(self.film(tmp_path, deferrable=True), ti)
        with pytest.raises(type(first)) as caught:
            resume_task(self.film(tmp_path, deferrable=True), first, fire(first), ti)
        siblings = [len(each.trigger.serialize()[1]["siblings"]) for each in (first, caught.value)]
        assert siblings == [2, 1]


class TestAStoryboardThatIsChanged:
    def test_to_another_model_is_rendered_anew(self, plain: EmulatorProcess, tmp_path: Path) -> None:
        ti = TaskInstanceDouble(task_id="film")
        arguments = {"render_as": "stitch", "output_path": str(tmp_path), "scenes": SCENES[:1]}
        first = run_task(storyboard(model="latest", **arguments), ti)
        second = run_task(storyboard(model="stable", **arguments), ti)
        assert (first["version"]["snapshot"], second["version"]["snapshot"]) == (
            "sora-2-2025-12-08",
            "sora-2-2025-10-06",
        )

    def test_so_that_it_cannot_be_rendered_is_refused_before_its_first_scene_is_paid_for(
        self, plain: EmulatorProcess, tmp_path: Path
    ) -> None:
        ti = TaskInstanceDouble(task_id="film")
        plain.arm({"kind": "fail_job"})
        with pytest.raises(VideoFailedError):
            run_task(storyboard(render_as="stitch", output_path=str(tmp_path)), ti)
        before = jobs(plain)
        long = [SCENES[0], scene(4, 104)]
        with pytest.raises(SoraFailException, match=r"Scene 2: .*renders at most"):
            run_task(storyboard(scenes=long, render_as="stitch", output_path=str(tmp_path)), ti)
        with pytest.raises(SoraFailException, match="needs an output_path"):
            run_task(storyboard(render_as="stitch"), ti)
        assert jobs(plain) == before

    def test_leaves_no_job_of_a_scene_that_was_taken_out(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        ti = TaskInstanceDouble(task_id="film")
        sora.arm({"kind": "stall_job", "times": 3})
        film = storyboard(
            render_as="stitch", continuity="none", output_path=str(tmp_path), job_timeout=0.3, on_timeout="leave"
        )
        with pytest.raises(SoraFailException, match="job_timeout"):
            run_task(film, ti)
        cancelled = sora.stats()["jobs"]["cancelled"]
        sora.disarm()
        shorter = storyboard(
            scenes=SCENES[:1], render_as="stitch", continuity="none", output_path=str(tmp_path), prompt="Another"
        )
        assert run_task(shorter, ti)["artifact"]["duration"] == pytest.approx(4, abs=0.2)
        assert sora.stats()["jobs"]["cancelled"] == cancelled + 3

    @pytest.mark.parametrize("first", ["stitch", "prompt"])
    def test_is_rendered_anew_in_the_other_way(self, first: str, sora: EmulatorProcess, tmp_path: Path) -> None:
        ti = TaskInstanceDouble(task_id="film")
        made = run_task(storyboard(render_as=first, output_path=str(tmp_path)), ti)
        again = run_task(storyboard(render_as="native", output_path=str(tmp_path)), ti)
        assert (made["request"]["rendered_as"], again["request"]["rendered_as"]) == (first, "native")

    def test_while_a_scene_is_waited_for_is_not_certified_by_the_old_scene(
        self, sora: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from airflow_provider_sora.triggers import video

        monkeypatch.setattr(waiting, "_WAIT_IN_WORKER", 0.0)
        monkeypatch.setattr(waiting, "SHORTEST_DEFERRAL", 0.0)
        monkeypatch.setattr(video, "SHORTEST_DEFERRAL", 0.0)
        ti = TaskInstanceDouble(task_id="film")
        arguments = {"render_as": "stitch", "output_path": str(tmp_path), "deferrable": True}
        deferred = defer_task(storyboard(scenes=SCENES[:1], **arguments), ti)
        event = fire(deferred)
        edited = [{**SCENES[0], "prompt": "A lantern is thrown"}]
        with pytest.raises(type(deferred)) as caught:
            resume_task(storyboard(scenes=edited, **arguments), deferred, event, ti)
        again = caught.value
        result = resume_task(storyboard(scenes=edited, **arguments), again, fire(again), ti)
        assert result["scenes"][0]["video_id"] != event["outcome"]["video_id"]


def test_a_film_that_exists_is_not_overwritten_where_that_is_refused(plain: EmulatorProcess, tmp_path: Path) -> None:
    run_task(storyboard(render_as="stitch", output_path=str(tmp_path)), TaskInstanceDouble(task_id="film"))
    before = jobs(plain)
    with pytest.raises(SoraFailException, match="is there already and overwrite='fail'"):
        run_task(
            storyboard(render_as="stitch", output_path=str(tmp_path), overwrite="fail", prompt="Another film"),
            TaskInstanceDouble(task_id="film"),
        )
    assert jobs(plain) == before


def test_a_cameo_that_only_a_picture_can_stand_for_is_refused_in_a_later_scene_before_the_first_is_paid_for(
    sora: EmulatorProcess, connect: Any, tmp_path: Path
) -> None:
    connect(sora.base_url, backend="sglang")
    _picture(tmp_path)
    cast = {
        "cameo_id": None,
        "name": "Mo",
        "description": "a cat",
        "reference_images": [{"uri": str(tmp_path / "cat.png")}],
    }
    before = jobs(sora)
    scenes = [SCENES[0], {"start": 4, "end": 8, "prompt": "@Mo sits"}]
    with pytest.raises(SoraFailException, match=r"Scene 2: .*takes one picture"):
        run_task(storyboard(scenes=scenes, render_as="stitch", cameos=[cast], output_path=str(tmp_path / "out")))
    assert jobs(sora) == before


def test_two_hundred_scenes_are_too_long_for_one_clip_and_say_so(sora: EmulatorProcess) -> None:
    scenes = [{"start": place, "end": place + 1, "prompt": f"Shot {place}"} for place in range(200)]
    with pytest.raises(SoraFailException, match="renders at most 25 s, not 200 s") as failed:
        run_task(storyboard(scenes=scenes))
    assert isinstance(failed.value.__cause__, InvalidRequestError)


def test_a_cameo_may_appear_in_one_scene_only(plain: EmulatorProcess, connect: Any, tmp_path: Path) -> None:
    connect(plain.base_url)
    cameo = {"cameo_id": None, "name": "小橘猫", "description": "an orange kitten"}
    made = SoraHook().create_cameo(name="小橘猫", pictures=[_picture(tmp_path)], description=str(cameo["description"]))
    scenes = [SCENES[0], {"start": 4, "end": 8, "prompt": "@小橘猫坐在窗边"}]
    result = run_task(
        storyboard(
            scenes=scenes,
            render_as="stitch",
            output_path=str(tmp_path / "out"),
            cameos=[{**cameo, "cameo_id": made.id}],
        )
    )
    assert result["artifact"]["duration"] == pytest.approx(8, abs=0.2)


def _picture(folder: Path) -> Any:
    from PIL import Image

    from airflow_provider_sora.media.pictures import read_picture

    path = folder / "cat.png"
    Image.new("RGB", (64, 64), "orange").save(path)
    return read_picture(str(path))
