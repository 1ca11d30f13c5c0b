"""Where instruments come from: files, Yahoo, and (in :mod:`varve.market.worlds`) sample worlds.

Sources are found by entry point in the group ``varve.sources``; only Yahoo's touches the network.
"""
