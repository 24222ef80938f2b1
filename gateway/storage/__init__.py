"""Durable storage: tables, one writer, read-only queries."""
