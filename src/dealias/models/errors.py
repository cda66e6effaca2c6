"""What can't be built or loaded."""


class ModelError(ValueError):
    """There is no such network, or it can't be built as asked."""


class WeightsError(ValueError):
    """Weights can't be read, or belong to another network."""
