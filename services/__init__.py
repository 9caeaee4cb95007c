"""Real servers for tests and for work by hand: one file a server in `servers/`, fetched when first asked for, on loopback only."""
