"""The wire: one client for every server that speaks /v1/videos."""
