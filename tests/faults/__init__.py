"""Faults, with real processes."""
