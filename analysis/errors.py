"""The one error a reader of traces and folders meets."""


class TraceError(Exception):
    """A trace or folder cannot be used; the message says what was found, what was expected and what to do."""
