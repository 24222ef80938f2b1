"""The edge: listeners, handlers, problems."""
