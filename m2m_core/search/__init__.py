"""Search for hyperparameters: trials of one experiment on one fold, one after the other, that survive any kill."""
