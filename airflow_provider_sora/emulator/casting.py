"""Cameos and characters, without HTTP: makes and finds them."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from airflow_provider_sora.emulator.bodies import Body, checked_image, sha256, uploaded_file
from airflow_provider_sora.emulator.cameos import Cameo, validate_cameo
from airflow_provider_sora.emulator.characters import Character, validate_character
from airflow_provider_sora.emulator.errors import cameo_not_found, character_not_found, invalid_value, missing_parameter
from airflow_provider_sora.emulator.keys import IdempotencyKeys
from airflow_provider_sora.emulator.store import Store
from airflow_provider_sora.emulator.validation import refuse_unknown


class Casting:
    """Those who take part in clips.

    :param store: what the emulator remembers.
    :param keys: idempotency keys.
    :param clock: gives Unix time in seconds.
    """

    def __init__(self, store: Store, keys: IdempotencyKeys, *, clock: Callable[[], float]) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock

    def create_cameo(self, body: Body, *, key: str | None) -> Cameo:
        """Remember a cameo.

        :param body: a form with ``name``, ``description`` and files ``reference_images``.
        :param key: value of ``Idempotency-Key``, if any.
        :return: the cameo.
        :raises ApiError: when the request is refused.
        """
        record_key, known_id = self._keys.look_up("create_cameo", key, body)
        if known_id is not None:
            return self.cameo(known_id)
        refuse_unknown(body.files, {"reference_images"})
        contents = [checked_image(content, "reference_images") for content in body.files.get("reference_images", [])]
        images = [(sha256(content), content) for content in contents]
        cameo = validate_cameo(
            body.fields,
            [digest for digest, _ in images],
            new_id=f"cameo_{secrets.token_hex(16)}",
            now=self._clock(),
        )
        self._store.add_cameo(cameo, uploads=images, key=record_key)
        return cameo

    def cameo(self, cameo_id: str) -> Cameo:
        """A cameo by its id.

        :param cameo_id: what its create answered.
        :raises ApiError: 404 ``cameo_not_found``.
        """
        try:
            return self._store.cameos[cameo_id]
        except KeyError:
            raise cameo_not_found(cameo_id) from None

    def cameos(self) -> list[Cameo]:
        """All cameos, newest first."""
        return list(reversed(self._store.cameos.values()))

    def create_character(self, body: Body, *, key: str | None) -> Character:
        """Remember a character.

        :param body: a form with ``name`` and the file ``video``.
        :param key: value of ``Idempotency-Key``, if any.
        :return: the character.
        :raises ApiError: when the request is refused.
        """
        # FFmpeg's libraries are loaded by the first use, not by the start.
        from airflow_provider_sora.emulator.footage import inspect_video

        record_key, known_id = self._keys.look_up("create_character", key, body)
        if known_id is not None:
            return self.character(known_id)
        video = uploaded_file(body, "video")
        if video is None and "video" not in body.fields:
            raise missing_parameter("video")
        if video is None or "video" in body.fields:
            raise invalid_value("video", "'video' must be an MP4, sent as one file in a multipart form.")
        portrait = inspect_video(video, "video").portrait
        character = validate_character(
            body.fields, portrait=sha256(portrait), new_id=f"char_{secrets.token_hex(16)}", now=self._clock()
        )
        self._store.add_character(character, uploads=[(character.portrait, portrait)], key=record_key)
        return character

    def character(self, character_id: str) -> Character:
        """A character by its id.

        :param character_id: what its create answered.
        :raises ApiError: 404 ``character_not_found``.
        """
        try:
            return self._store.characters[character_id]
        except KeyError:
            raise character_not_found(character_id) from None
