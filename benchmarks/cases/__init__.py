"""Small inputs with a known right answer, and what the command makes of each."""
