"""Benchmarks; see README.md in this folder. Run from a checkout: `python -m benchmarks.bench_kernel`, `python -m benchmarks.bench_http`."""
