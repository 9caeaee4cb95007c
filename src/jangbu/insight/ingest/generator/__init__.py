"""Invented shops with known totals, as skewed as real ones: for tests, for benchmarks, and for trying Jangbu at scale.

A `Plan` says how many shops, days and rows; the same plan makes the same rows everywhere. A shop's rows follow from the seed, its
number, its own rows, its market and the days, not from the other shops. They are made a block of lines after the other, each from
random numbers of its own, so that neither batches nor the sequence of shops change anything.
"""
