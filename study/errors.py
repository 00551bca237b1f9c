"""The one error a user of the study meets."""


class StudyError(Exception):
    """A study cannot be planned or run; the message says what was found, what was expected and what to do."""
