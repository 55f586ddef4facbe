"""The sections of a report, in no format yet."""
