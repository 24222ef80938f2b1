"""The bottom of the pure code: encodings, times and hash trees that every package above may use."""
