"""What the training of the shipped recogniser is made of: samples, labels, features, members, thresholds."""
