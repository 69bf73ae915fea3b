"""The base class of caches."""


class Cache:
    pass
