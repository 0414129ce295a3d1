"""An emulator of the versioned ``/v1/videos`` API: no model, no key, no cost, real MP4 files.

Start it with ``sora-emulator`` or ``python -m airflow_provider_sora.emulator``.
"""
