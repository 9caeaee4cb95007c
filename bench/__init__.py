"""Benchmarks, each beside what it is compared with: `python -m bench [name ...]`, or `make bench ONLY=name`."""
