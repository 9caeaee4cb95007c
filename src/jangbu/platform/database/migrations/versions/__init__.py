"""One file a revision: `v0001_name.py` is revision `0001`."""
