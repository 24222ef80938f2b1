"""ADAPTER: programs that look into what strangers wrote: workers with limits, and a virus scanner."""
