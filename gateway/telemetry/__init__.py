"""Metrics and logs, as listeners on what the core tells (`gateway.events`)."""
