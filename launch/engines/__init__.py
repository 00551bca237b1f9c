"""One engine a file: which command starts a case in it."""
