"""Where a training can be watched, one file each; see `Watcher` in `tracking`."""
