"""Training: typed recipes, balanced tasks, one loop for all phases, whole checkpoints."""
