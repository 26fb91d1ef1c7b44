"""Alembic wants this file; `gateway.ledger.migrate` does what would stand here."""
