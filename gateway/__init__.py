"""Real-time concurrency admission for video conferencing."""

__version__ = "0.1.0"
