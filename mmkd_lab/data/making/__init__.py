"""What datasets are made with: pairs of equal label, one scale, spectrograms, backgrounds, components."""
