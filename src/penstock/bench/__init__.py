"""``penstock bench``: the gateway against nginx and against no gateway, in one run on one machine."""
