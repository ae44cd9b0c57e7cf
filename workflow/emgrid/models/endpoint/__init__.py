"""Calls of OpenAI-compatible chat endpoints: requests, replies and cost."""
