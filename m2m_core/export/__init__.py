"""Export: one trained model with its normalisation as a single file that torch alone loads."""
