"""Whatever comes from a weight file or from the hub, read once and safely."""
