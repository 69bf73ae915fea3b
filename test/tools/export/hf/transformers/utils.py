"""Results of calls."""

from dataclasses import fields


class ModelOutput:
    def to_tuple(self):
        values = (getattr(self, field.name) for field in fields(self))
        return tuple(value for value in values if value is not None)
