"""Bilateral case-exchange gateway: signed, encrypted case records between two authorities."""

__version__ = "0.1.0"
