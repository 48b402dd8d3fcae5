"""From media files to samples."""
