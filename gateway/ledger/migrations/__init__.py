"""Versions of the schema; `gateway.ledger.migrate` runs them."""
