"""Schema migrations (Alembic): expand first, contract a release later."""

HEAD = "0003"
"""The revision this code needs; kept here so that a start at head need not load Alembic."""
