"""The training loop and what surrounds it: checkpoints, signals, history, devices. No family by name."""
