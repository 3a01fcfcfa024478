"""The phases of training, and what each of them trains."""
