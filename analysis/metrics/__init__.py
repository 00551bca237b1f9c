"""One quantity a file; the folder is the list."""
