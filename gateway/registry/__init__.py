"""Schemas as a treaty matter: what a version says, what breaks it, and who could no longer read whom.

Pure: bytes and documents in, verdicts and findings out. `subject` loads one version, `lint` refuses what
could harm a reader of it, `validation` holds data against it, `compatibility` proves that one version
reads what another writes, `diff` tells people what changed.
"""
