"""What the use cases need from the outside: time, chance, keys, storage, the link to a partner.

Adapters implement these; services depend on nothing else of theirs.
"""
