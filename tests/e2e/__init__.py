"""Tests of whole chains: callers, signalling server, gateway and Redis as real processes."""
