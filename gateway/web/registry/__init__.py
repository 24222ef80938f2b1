"""The schema registry as Confluent's clients speak to it, under `/registry` of the API listener."""
