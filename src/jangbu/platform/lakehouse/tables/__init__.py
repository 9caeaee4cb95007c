"""How the Iceberg adapter lays tables out, writes, changes and plans them. Imported lazily: PyIceberg takes most of a second."""
