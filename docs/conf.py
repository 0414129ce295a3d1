"""How Sphinx builds the documentation; `make docs` runs it."""

from airflow_provider_sora import __version__

project = "airflow-provider-sora"
author = "The airflow-provider-sora authors"
copyright = "The airflow-provider-sora authors"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
# Names of Airflow and the standard library are not resolved: that would need their indexes from the network.
nitpick_ignore_regex = [("py:.*", r"(?!airflow_provider_sora).*")]

html_theme = "furo"
html_title = f"airflow-provider-sora {release}"
html_copy_source = False
html_show_sphinx = False
