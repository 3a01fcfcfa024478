"""Where the files of a run are restored: one file for each kind of machinery."""
