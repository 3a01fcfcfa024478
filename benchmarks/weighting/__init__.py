"""The strategies that balance tasks, compared by many short runs."""
