"""TuneScout: recognise recordings of one's own catalogue from short, noisy clips."""
