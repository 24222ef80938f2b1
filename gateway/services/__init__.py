"""Use cases: one class, one public verb; they meet adapters only through `gateway.ports`."""
