"""What may be gone at any time: results kept for a while, counters, leases."""
