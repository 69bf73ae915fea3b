"""Configurations: what they are given, and other names of it."""


class PretrainedConfig:
    attribute_map = {}
    output_hidden_states = False
    output_attentions = False
    return_dict = True

    def __init__(self, **kwargs):
        for name, value in kwargs.items():
            setattr(self, name, value)

    def __getattribute__(self, name):
        if name != "attribute_map":
            name = super().__getattribute__("attribute_map").get(name, name)
        return super().__getattribute__(name)

    def __setattr__(self, name, value):
        super().__setattr__(self.attribute_map.get(name, name), value)

    @classmethod
    def register_for_auto_class(cls, auto_class="AutoConfig"):
        cls._auto_class = auto_class
