"""ADAPTER: programs that look into files: the image decoder in a process of its own, and a virus scanner."""
