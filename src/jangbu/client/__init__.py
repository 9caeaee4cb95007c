"""Ask a Jangbu server from Python.

    from jangbu.client import Client

    with Client("http://127.0.0.1:8000", key="jb_…") as client:
        result = client.query("sales", ["revenue"], dimensions=["department"], time={"range": "last 12 months"})
        result.pandas()

Errors are those of `jangbu.kernel.errors`, by their code.
"""

from jangbu.client.clients import AsyncClient, Client
from jangbu.client.results import Column, Result

__all__ = ["AsyncClient", "Client", "Column", "Result"]
