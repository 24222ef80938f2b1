"""The command line: a client of the control application."""
