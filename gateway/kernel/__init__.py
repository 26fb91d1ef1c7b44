"""Claims <-> Redis. The kernel knows no plan; `lua/README.md` describes what is stored."""
