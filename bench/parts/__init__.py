"""What benches share: the data, the servers they start, the sides they compare."""
