"""The networks, their weights and how they are trained. Everything else knows only `Model`."""
