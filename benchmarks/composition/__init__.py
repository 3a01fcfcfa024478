"""How well adapters compose: measured on named mixtures, with a page of tables."""
