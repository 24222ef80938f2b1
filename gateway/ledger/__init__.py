"""The audit log: entries, tiles, proofs, signed checkpoints, the witness's decision, the offline verifier.

Pure: no clock, no chance, no I/O; keys, times and readers are arguments. Formats: protocol.md §6 and C2SP
signed-note v1.0.0, tlog-checkpoint v1.0.0, tlog-cosignature v1.0.1, tlog-witness v1.0.0, tlog-tiles v0.1.0.
"""
