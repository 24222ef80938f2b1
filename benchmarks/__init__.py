"""Measurements of two gateways on this machine, each figure beside the floor measured in the same run."""
