"""Serial CTRS: two chest CTs in, the predicted 12-month survival out. Research use only."""

__version__ = "0.1.0"

NOTICE = (
    "Research use only. Not a medical device. Not affiliated with the authors or the company of"
    " the published Serial CTRS. Our own model, trained on simulated patients."
)
