"""What is raised where a policy cannot be used; each message is one paragraph for the user."""


class PolicyError(Exception):
    """A policy that cannot be read or applied; the subclasses say whose fault it is."""


class FormatError(PolicyError):
    """The file: not JSON, or with fields that break a rule."""


class MismatchError(PolicyError):
    """The model, or the file of refitted weights: the policy was made for another one."""


class UnsupportedError(PolicyError):
    """This package: the policy is valid, but cannot be honoured here."""
