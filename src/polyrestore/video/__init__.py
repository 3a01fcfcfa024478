"""Videos: restored shot by shot, with all that is not their pictures copied as it is."""
