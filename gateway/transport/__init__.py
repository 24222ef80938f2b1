"""The links between gateways: mutual TLS 1.3 and the HTTP calls over it."""
