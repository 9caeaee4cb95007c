"""What engines write alike around a statement: names, texts, and the predicate that keeps tenants apart, in this one place."""

from jangbu.platform.engines.ports import Scan


def identifier(value: str) -> str:
    """A name as it stands in a statement, whatever is in it."""
    return '"' + value.replace('"', '""') + '"'


def quoted(value: str) -> str:
    """A literal text."""
    return "'" + value.replace("'", "''") + "'"


def separation(scan: Scan) -> str:
    """The WHERE of a scan that keeps its tenants' rows; nothing where it is shared. One that names only half of it is a mistake of
    ours and is never run."""
    if (scan.tenant_column is None) != (scan.tenants is None) or scan.tenants == ():
        raise ValueError(f"The scan {scan.name!r} must name a tenant column and at least one tenant, or be shared.")
    if scan.tenant_column is None:
        return ""
    return f"WHERE {identifier(scan.tenant_column)} IN ({', '.join(map(quoted, scan.tenants or ()))})"
