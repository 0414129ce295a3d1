"""Characters: made once, found again, and refused where nobody could make them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from emulator_process import EmulatorProcess
from PIL import Image
from task_double import TaskInstanceDouble, files_in, run_task

from airflow_provider_sora.failures import SoraFailException
from airflow_provider_sora.operators.cameo import SoraCreateCameoOperator
from airflow_provider_sora.operators.video import SoraGenerateVideoOperator


@pytest.fixture
def picture(tmp_path: Path) -> Callable[..., str]:
    """``picture(colour)`` is the path of one."""

    def make(colour: str = "orange", size: tuple[int, int] = (320, 180)) -> str:
        path = tmp_path / f"{colour}.png"
        Image.new("RGB", size, colour).save(path)
        return str(path)

    return make


@pytest.fixture
def backend(sora: EmulatorProcess, connect: Any) -> Iterator[Callable[[str], EmulatorProcess]]:
    """``backend(name)`` makes the connection say so of the emulator."""

    def named(name: str) -> EmulatorProcess:
        connect(sora.base_url, backend=name)
        return sora

    yield named
    sora.disarm()


def cameo(**arguments: Any) -> SoraCreateCameoOperator:
    return SoraCreateCameoOperator(task_id="cast", **{"name": "小橘猫", "description": "an orange kitten", **arguments})


def render(**arguments: Any) -> dict[str, Any]:
    operator = SoraGenerateVideoOperator(
        task_id="render",
        **{"prompt": "@小橘猫坐在窗边", "seconds": 4, "poll_interval": 0.05, "deferrable": False, **arguments},
    )
    result: dict[str, Any] = run_task(operator)
    return result


class TestTheArticlesServer:
    def test_makes_it_and_its_output_goes_into_a_clip(self, sora: EmulatorProcess, picture: Callable[..., str]) -> None:
        made = run_task(cameo(reference_images=[picture("orange"), picture("red")]))
        assert made["cameo_id"].startswith("cameo_")
        assert made["rendered_as"] == "native"
        assert made["version"]["snapshot"] == "sora-2-2025-12-08"
        assert len(made["reference_images"]) == 2
        result = render(cameos=[made])
        assert result["request"]["cameos"] == [
            {"id": made["cameo_id"], "name": "小橘猫", "snapshot": "sora-2-2025-12-08"}
        ]
        assert result["status"] == "completed"

    @pytest.mark.parametrize("reference", ["cameo_id", "name"])
    def test_knows_it_by_its_id_and_by_its_name(
        self, reference: str, sora: EmulatorProcess, picture: Callable[..., str]
    ) -> None:
        made = (
            run_task(cameo(name=f"Mo {reference}", reference_images=[picture(reference.replace("_", ""))]))
            if False
            else (run_task(cameo(name=f"Mo-{reference}", reference_images=[picture("blue")])))
        )
        result = render(prompt=f"@Mo-{reference} sits", cameos=[made[reference]])
        assert result["request"]["cameos"][0]["id"] == made["cameo_id"]

    def test_gives_the_same_again_to_another_task_that_asks_for_the_same(
        self, sora: EmulatorProcess, picture: Callable[..., str]
    ) -> None:
        before = sora.stats()["cameos"]
        first = run_task(cameo(name="Twice", reference_images=[picture()]), TaskInstanceDouble(run_id="monday"))
        second = run_task(cameo(name="Twice", reference_images=[picture()]), TaskInstanceDouble(run_id="tuesday"))
        assert first["cameo_id"] == second["cameo_id"]
        assert sora.stats()["cameos"] == before + 1

    def test_makes_another_of_other_pictures(self, sora: EmulatorProcess, picture: Callable[..., str]) -> None:
        first = run_task(cameo(name="Other", reference_images=[picture("green")]))
        assert run_task(cameo(name="Other", reference_images=[picture("black")]))["cameo_id"] != first["cameo_id"]

    def test_is_not_asked_again_by_a_task_that_is_cleared(
        self, sora: EmulatorProcess, picture: Callable[..., str]
    ) -> None:
        ti = TaskInstanceDouble()
        first = run_task(cameo(reference_images=[picture("pink")]), ti)
        asked = sora.stats()["requests"]["create_cameo"]
        assert run_task(cameo(reference_images=[picture("pink")]), ti) == first
        assert sora.stats()["requests"]["create_cameo"] == asked

    def test_is_refused_on_a_snapshot_without_cameos(self, sora: EmulatorProcess, picture: Callable[..., str]) -> None:
        with pytest.raises(SoraFailException, match=r"2025-10-06 has no cameos.*sora-2-2025-12-08"):
            run_task(cameo(model="stable", reference_images=[picture()]))
        made = run_task(cameo(reference_images=[picture()]))
        with pytest.raises(SoraFailException, match=r"2025-10-06 has no cameos"):
            render(model="stable", cameos=[made])

    @pytest.mark.parametrize(
        ("prompt", "told"),
        [
            ("@小橘猫 and @Nobody", "mentions @Nobody, but there are @小橘猫"),
            ("a cat sits there", "does not mention the cameo @小橘猫"),
        ],
    )
    def test_is_not_asked_where_the_prompt_and_the_cameos_do_not_fit(
        self, prompt: str, told: str, sora: EmulatorProcess, picture: Callable[..., str]
    ) -> None:
        made = run_task(cameo(reference_images=[picture()]))
        created = sora.stats()["jobs"]["created"]
        with pytest.raises(SoraFailException, match=told):
            render(prompt=prompt, cameos=[made])
        assert sora.stats()["jobs"]["created"] == created

    def test_is_told_to_be_no_server_of_cameos_where_its_route_is_not_there(
        self, sora: EmulatorProcess, picture: Callable[..., str]
    ) -> None:
        sora.arm({"kind": "http_error", "route": "create_cameo", "status": 405})
        with pytest.raises(SoraFailException, match=r"405.*This server has no such route.*test button"):
            run_task(cameo(name="Nowhere", reference_images=[picture("gray")]))


class TestAServerWithOpenaisCharacters:
    def test_gets_a_clip_of_the_pictures(
        self, backend: Callable[[str], EmulatorProcess], picture: Callable[..., str]
    ) -> None:
        server = backend("openai")
        before = server.stats()["characters"]
        made = run_task(cameo(reference_images=[picture("orange"), picture("red")]))
        assert made["rendered_as"] == "characters"
        assert server.stats()["characters"] == before + 1
        result = render(cameos=[made])
        assert result["request"]["rendered_as"] == "characters"
        assert result["request"]["sent_prompt"] == "小橘猫坐在窗边"

    def test_is_not_asked_twice_by_tasks_that_share_a_registry(
        self, backend: Callable[[str], EmulatorProcess], picture: Callable[..., str], tmp_path: Path
    ) -> None:
        server, registry = backend("openai"), str(tmp_path / "registry")
        before = server.stats()["characters"]
        first = run_task(
            cameo(reference_images=[picture()], registry_path=registry), TaskInstanceDouble(run_id="monday")
        )
        second = run_task(
            cameo(reference_images=[picture()], registry_path=registry), TaskInstanceDouble(run_id="tuesday")
        )
        assert first == second
        assert server.stats()["characters"] == before + 1
        assert len(files_in(tmp_path / "registry")) == 1


class TestAServerWithoutCharacters:
    def test_gets_the_picture_and_the_description(
        self, backend: Callable[[str], EmulatorProcess], picture: Callable[..., str]
    ) -> None:
        backend("sglang")
        made = run_task(cameo(reference_images=[picture()]))
        assert (made["cameo_id"], made["rendered_as"]) == (None, "reference")
        result = render(cameos=[made], size="1280x720")
        assert result["request"]["rendered_as"] == "reference"
        assert result["request"]["sent_prompt"] == "an orange kitten坐在窗边"

    def test_needs_a_description(self, backend: Callable[[str], EmulatorProcess], picture: Callable[..., str]) -> None:
        backend("sglang")
        with pytest.raises(SoraFailException, match="a description takes the place of @小橘猫"):
            run_task(cameo(description="", reference_images=[picture()]))

    def test_cannot_have_two(self, backend: Callable[[str], EmulatorProcess], picture: Callable[..., str]) -> None:
        backend("sglang")
        made = [run_task(cameo(name=name, reference_images=[picture()])) for name in ("Mo", "Miu")]
        with pytest.raises(SoraFailException, match="can stand for one cameo, not 2"):
            render(prompt="@Mo and @Miu", cameos=made)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"reference_images": []}, "1 to 10 pictures"),
        ({"reference_images": "cat.png"}, "1 to 10 pictures"),
        ({"reference_images": ["missing.png"]}, "cannot be read"),
        ({"name": ""}, "1 to 80 characters"),
        ({"name": "a@b"}, "no @"),
        ({"name": " Mo"}, "begins with a letter"),
        ({"name": "x" * 81}, "1 to 80 characters"),
        ({"description": "x" * 2001}, "at most 2,000 characters"),
    ],
)
def test_what_nobody_can_make_a_cameo_of_is_refused(
    arguments: dict[str, Any], told: str, sora: EmulatorProcess, picture: Callable[..., str]
) -> None:
    asked = sora.stats()["requests"].get("create_cameo", 0)
    with pytest.raises(SoraFailException, match=told):
        run_task(cameo(**{"reference_images": [picture()], **arguments}))
    assert sora.stats()["requests"].get("create_cameo", 0) == asked


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"a text for a picture", "neither PNG, JPEG nor WebP"), (b"\x89PNG" + bytes(50 << 20), "20 MiB")],
)
def test_a_file_that_is_no_picture_or_too_large_is_refused(
    content: bytes, told: str, sora: EmulatorProcess, tmp_path: Path
) -> None:
    (tmp_path / "cat.png").write_bytes(content)
    with pytest.raises(SoraFailException, match=told):
        run_task(cameo(reference_images=[str(tmp_path / "cat.png")]))


def test_a_name_with_a_space_is_mentioned_with_it(sora: EmulatorProcess, picture: Callable[..., str]) -> None:
    made = run_task(cameo(name="Little Mo", reference_images=[picture("brown")]))
    assert render(prompt="@Little Mo sits, and @Little Mo sleeps", cameos=[made])["status"] == "completed"
