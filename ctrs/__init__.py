"""Serial CTRS: two chest CTs in, the predicted 12-month survival out. Research use only."""

__version__ = "0.1.0"
