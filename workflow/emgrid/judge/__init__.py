"""Judges: they give an answer a value from 0 to 100, or a reason for giving none."""
