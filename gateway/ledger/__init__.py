"""The durable side: what happened, and every billed figure computed from it."""
