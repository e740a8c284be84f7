"""Shelf of everything that knows files of fields: readers, sources, catalogue, folds, fields, normalisation."""
