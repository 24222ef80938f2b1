"""The key ring: where private keys live and what each may be used for."""
