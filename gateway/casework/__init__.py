"""Casework: what the two authorities may say to each other about a case, decided without I/O.

Pure: time, look-ups and code lists are arguments. Checks return findings (`gateway.errors.Finding`); the
caller says whose fault they are. Rules and their numbers are those of the domain note: lifecycles §6,
handling and evaluation §7, policies P01 to P24 §8, refusals §10.
"""
