"""What a run is measured on while it trains."""
