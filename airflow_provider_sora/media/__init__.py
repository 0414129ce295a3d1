"""Bytes: keeping a video and its provenance, and looking at what a file really is."""
