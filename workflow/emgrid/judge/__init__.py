"""Judges: an answer becomes a value from 0 to 100, or a reason why there is none."""
