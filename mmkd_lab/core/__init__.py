"""What every floor may use: argument checks, seeds, intervals, fingerprints. Imports nothing of the lab."""
