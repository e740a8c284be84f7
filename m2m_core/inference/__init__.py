"""From trained models to whole samples: predictions, those of several models together, files for other programs."""
