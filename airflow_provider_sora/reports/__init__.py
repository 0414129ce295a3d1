"""The report of a comparison: one HTML file that opens anywhere, and a blind one for who has to judge."""
