"""Families of models: each joins models, losses, data and metrics behind the one protocol (`protocol.Task`)."""
