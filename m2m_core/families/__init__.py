"""What each family of tasks asks of the rest of its experiment: one file a family, without torch."""
