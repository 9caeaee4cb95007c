"""The servers: each module here has one as its `SERVICE`."""
