"""Configurations: what they are given, and other names of it."""


class PretrainedConfig:
    attribute_map = {}
    output_hidden_states = False
    output_attentions = False
    return_dict = True

    def __init__(self, **kwargs):
        for name, value in kwargs.items():
            setattr(self, name, value)

    def __getattr__(self, name):
        mapped = type(self).attribute_map
        if name in mapped:
            return getattr(self, mapped[name])
        raise AttributeError(name)

    @classmethod
    def register_for_auto_class(cls, auto_class="AutoConfig"):
        cls._auto_class = auto_class
