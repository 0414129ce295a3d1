"""The operator that makes a character for clips to share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_sora.failures import no_retry_in_vain
from airflow_provider_sora.operators.model import reference_of, rollout_of, show_rollout
from airflow_provider_sora.operators.telling import TellingOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_sora.hooks.sora import SoraHook
    from airflow_provider_sora.rollouts.plan import Rollout
    from airflow_provider_sora.snapshots.resolution import Resolution
    from airflow_provider_sora.snapshots.snapshot import Snapshot
    from airflow_provider_sora.videos.request import InputReference

#: The key in the task's state store.
STATE_KEY = "sora_cameo"


class SoraCreateCameoOperator(TellingOperator):
    """Makes a character of some pictures. Its output goes into the ``cameos`` of the tasks that make clips, whose
    prompts mention it as ``@name``.

    The same name, description and pictures give the same cameo again: by an idempotency key, where the server honours
    one; for a task that is retried or cleared, by its record; and with ``registry_path`` by a file there, for all tasks
    of the connection.

    :param name: in any script, 1 to 80 characters without ``@``.
    :param reference_images: paths or URLs of 1 to 10 PNG, JPEG or WebP pictures, of at most 20 MiB each.
    :param description: what it looks like; needed where the server knows no characters, and gets it in the prompt.
    :param model: the snapshot that it is for, as in the tasks that use it.
    :param unit: with a rollout as ``model``, as in the tasks that use it: else a clip may be rendered on the snapshot
        that does not have the character. None for the rollout's own ``unit``, else the character by its name.
    :param registry_path: folder in which cameos are remembered, a local path or any object storage URL.
    :param sora_conn_id: id of the connection.
    """

    template_fields: Sequence[str] = (
        "sora_conn_id",
        "name",
        "reference_images",
        "description",
        "model",
        "unit",
        "registry_path",
    )
    ui_color = "#e5e0ff"

    def __init__(
        self,
        *,
        name: str,
        reference_images: Sequence[str],
        description: str = "",
        model: str | Rollout | None = None,
        unit: str | None = None,
        registry_path: str | None = None,
        sora_conn_id: str = "sora_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.reference_images = reference_images
        self.description = description
        self.model = model
        self.unit = unit
        self.registry_path = registry_path
        self.sora_conn_id = sora_conn_id
        show_rollout(self, model)

    @property
    def reads(self) -> tuple[object, ...]:
        """The pictures."""
        return tuple(picture["uri"] for picture in (self.outcome or {}).get("reference_images", ()))

    def execute(self, context: Context) -> dict[str, Any]:
        """Make it, or find the one that was made of the same."""
        from airflow_provider_sora.hooks.sora import SoraHook
        from airflow_provider_sora.media.cameo_registry import recall, remember
        from airflow_provider_sora.videos.cameo import check_new_cameo, digest_of_cameo

        with no_retry_in_vain():
            check_new_cameo(self.name, self.description, self.reference_images)
            hook = SoraHook(self.sora_conn_id)
            self.tell_server(hook)
            resolution, snapshot = self._version(context, hook)
            self._check(hook, snapshot)
            pictures = self._pictures()
            digest = digest_of_cameo(
                name=self.name,
                description=self.description,
                pictures=[picture.to_dict()["sha256"] for picture in pictures],
                account=f"{hook.settings.account} {snapshot.id}",
            )
            state = context["task_state_store"]
            known: list[Any] = [state.get(STATE_KEY)]
            if self.registry_path:
                known.append(recall(self.registry_path, digest))
            same = (each for each in known if each and each.get("digest") == digest)
            made = next((each for each in same if hook.may_have_cameo(each["cameo_id"])), None)
            if made is not None:
                self.log.info("Cameo %s was made of the same before; nothing was sent.", made["cameo_id"] or self.name)
            else:
                made = self._made(hook, pictures, digest, resolution)
            state.set(STATE_KEY, made)
            if self.registry_path:
                remember(self.registry_path, digest, made)
            context["ti"].xcom_push(key="version", value=made["version"])
            return self.tell(context, dict(made))

    def _version(self, context: Context, hook: SoraHook) -> tuple[Resolution, Snapshot]:
        if (rollout := rollout_of(self.model)) is None:
            return hook.resolve_snapshot(reference_of(self.model))
        from airflow_provider_sora.operators.version_choice import choose_now

        return choose_now(hook, rollout, self, context, unit=self.unit, default=self.name)

    def _check(self, hook: SoraHook, snapshot: Snapshot) -> None:
        from airflow_provider_sora.exceptions import InvalidRequestError
        from airflow_provider_sora.media.storage import without_secrets

        way = hook.backend.cameos
        if way == "native" and not snapshot.can("cameos"):
            able = ", ".join(other.id for other in hook.catalog.snapshots if other.can("cameos")) or "none"
            raise InvalidRequestError(
                f"Nothing was sent: {snapshot.id} has no cameos. Snapshots of the catalogue that have: {able}."
            )
        if way == "reference" and not self.description:
            raise InvalidRequestError(
                f"Nothing was sent: {hook.backend.title} knows no characters, so a description takes the place of "
                f"@{self.name} in prompts. Give one."
            )
        if way == "reference" and (first := without_secrets(self.reference_images[0])) != self.reference_images[0]:
            raise InvalidRequestError(
                f"Nothing was sent: {hook.backend.title} knows no characters, so the picture is read again for each "
                f"clip, and the address of {first} holds credentials or a signature, which no result may show. Keep "
                "it where an Airflow connection reaches it."
            )

    def _made(self, hook: SoraHook, pictures: list[InputReference], digest: str, version: Resolution) -> dict[str, Any]:
        from airflow_provider_sora.media.storage import without_secrets

        cameo = hook.create_cameo(
            name=self.name,
            pictures=pictures,
            description=self.description,
            model=version.snapshot,
            idempotency_key=f"sora-cameo-{digest.removeprefix('sha256:')}",
        )
        told = f"{cameo.id} at the server" if cameo.id else "to be sent as a picture and a description"
        self.log.info("Cameo %s: %s.", self.name, told)
        return {
            "cameo_id": cameo.id,
            "name": self.name,
            "description": self.description,
            "rendered_as": hook.backend.cameos,
            "version": version.to_dict(),
            "reference_images": [
                {"uri": without_secrets(uri), "sha256": picture.to_dict()["sha256"]}
                for uri, picture in zip(self.reference_images, pictures, strict=True)
            ],
            "digest": digest,
        }

    def _pictures(self) -> list[InputReference]:
        from airflow_provider_sora.media.pictures import read_picture

        return [read_picture(path) for path in self.reference_images]
