"""One figure a file; the folder is the list."""
