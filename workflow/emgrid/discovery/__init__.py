"""Trigger discovery: candidates for a trigger, from training rows and known families, and a screen
of them by likelihood."""
