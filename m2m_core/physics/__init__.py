"""Physics that every room shares: cosmology, wave vectors, mass assignment, spectra. numpy and scipy only, no torch."""
