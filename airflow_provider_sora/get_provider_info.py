"""What Airflow reads to discover this provider: every ``airflow`` command runs it, so it imports nothing."""


def get_provider_info() -> dict[str, object]:
    return {
        "package-name": "airflow-provider-sora",
        "name": "Sora",
        "description": "Versioned AI video generation over the ``/v1/videos`` protocol.",
        "integrations": [
            {
                "integration-name": "Sora",
                "external-doc-url": "https://github.com/airflow-provider-sora/airflow-provider-sora",
                "tags": ["ai", "video"],
            }
        ],
        "hooks": [{"integration-name": "Sora", "python-modules": ["airflow_provider_sora.hooks.sora"]}],
        "operators": [
            {
                "integration-name": "Sora",
                "python-modules": [
                    "airflow_provider_sora.operators.video",
                    "airflow_provider_sora.operators.batch",
                    "airflow_provider_sora.operators.cameo",
                    "airflow_provider_sora.operators.rollout",
                    "airflow_provider_sora.operators.quarantine",
                    "airflow_provider_sora.operators.acceptance",
                    "airflow_provider_sora.operators.evaluation",
                ],
            }
        ],
        "sensors": [{"integration-name": "Sora", "python-modules": ["airflow_provider_sora.sensors.video"]}],
        "triggers": [{"integration-name": "Sora", "python-modules": ["airflow_provider_sora.triggers.video"]}],
        "extra-links": [
            "airflow_provider_sora.links.SoraVideoLink",
            "airflow_provider_sora.links.SoraJobLink",
            "airflow_provider_sora.links.SoraSidecarLink",
            "airflow_provider_sora.links.SoraManifestLink",
            "airflow_provider_sora.links.SoraReportLink",
            "airflow_provider_sora.links.SoraBlindReportLink",
            "airflow_provider_sora.links.SoraRolloutLink",
        ],
        "connection-types": [
            {
                "connection-type": "sora",
                "hook-class-name": "airflow_provider_sora.hooks.sora.SoraHook",
                "hook-name": "Sora (video generation)",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "login", "port"],
                    "relabeling": {"host": "Base URL", "password": "API key"},
                    "placeholders": {
                        "host": "http://127.0.0.1:8300/v1",
                        "password": "may be empty for a server without keys",
                    },
                },
                "conn-fields": {
                    "backend": {
                        "label": "Backend",
                        "description": "Which kind of server answers; encodings and names follow.",
                        "schema": {
                            "type": ["string", "null"],
                            "enum": [
                                "sora",
                                "openai",
                                "vllm-omni",
                                "sglang",
                                "fastvideo",
                                "tensorrt-llm",
                                "litellm",
                                "new-api",
                                "bifrost",
                                "openrouter",
                            ],
                            "default": "sora",
                        },
                    },
                    "environment": {
                        "label": "Environment",
                        "description": "For example development, staging or production. It decides the "
                        "version when a task names none, and production accepts pinned snapshots only. "
                        "Empty: DEPLOY_ENV, else development.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "allow_unlisted": {
                        "label": "Allow unlisted models",
                        "description": "Send a model name that no catalogue entry describes, unchecked.",
                        "schema": {"type": ["boolean", "null"], "default": False},
                    },
                    "connect_timeout": {
                        "label": "Connect timeout (seconds)",
                        "schema": {"type": ["number", "null"], "default": 5, "minimum": 0.1},
                    },
                    "read_timeout": {
                        "label": "Read timeout (seconds)",
                        "schema": {"type": ["number", "null"], "default": 60, "minimum": 0.1},
                    },
                    "verify": {
                        "label": "Verify TLS",
                        "description": "true, false, or the path of a CA bundle on the worker. Empty: true.",
                        "schema": {"type": ["string", "null"]},
                    },
                    # Text and not an object: only a text field can be hidden while it is typed.
                    "headers": {
                        "label": "Extra headers",
                        "description": 'For each request; a JSON object as text, such as {"X-Tenant": "a"}.',
                        "schema": {"type": ["string", "null"], "format": "password"},
                    },
                    "proxy": {
                        "label": "Proxy",
                        "description": "URL of a proxy for this connection, with its credentials if any.",
                        "schema": {"type": ["string", "null"], "format": "password"},
                    },
                    "claims_path": {
                        "label": "Claims path",
                        "description": "Folder where tasks mark which job is theirs. Empty: beside their output.",
                        "schema": {"type": ["string", "null"]},
                    },
                    # Last, because each of these is an editor that fills half a screen.
                    "versions": {
                        "label": "Named versions",
                        "description": 'Names for snapshots, for example {"stable": "sora-2-2025-10-06"}.',
                        "schema": {"type": ["object", "null"]},
                    },
                    "environments": {
                        "label": "Version of each environment",
                        "description": 'What each environment uses, for example {"production": "stable"}.',
                        "schema": {"type": ["object", "null"]},
                    },
                    "snapshots": {
                        "label": "Your snapshots",
                        "description": "Catalogue entries, as a list, for models of your own.",
                        "schema": {"type": ["array", "null"], "items": {"type": "object"}},
                    },
                },
            }
        ],
        "config": {
            "sora": {
                "description": "Settings of the Sora provider.",
                "options": {
                    "catalog": {
                        "description": "Path of a TOML file with your own snapshots. It extends the built-in "
                        "catalogue for every connection; an id or alias that is taken is an error.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "/opt/airflow/config/snapshots.toml",
                        "default": None,
                    },
                    "media_roots": {
                        "description": "Folders from which the pages in Airflow's UI show videos, with commas between "
                        "them, written as output_path is: an absolute path, or a URL with its connection. Read by the "
                        "API server. Empty: any folder where a video lies beside the sidecar of this provider.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "s3://aws_default@videos/clips, /mnt/videos",
                        "default": None,
                    },
                },
            }
        },
    }
