"""BCX/1 on the wire, pure: bytes in, a checked value or a `PartnerError` out (protocol.md)."""
