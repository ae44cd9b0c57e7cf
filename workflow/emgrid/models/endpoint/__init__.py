"""Calls of OpenAI-compatible chat endpoints: what they say, and what they cost."""
