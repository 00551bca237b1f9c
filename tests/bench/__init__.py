"""How long a big trace takes to analyse and how much memory: `make bench`, not part of the tests."""
