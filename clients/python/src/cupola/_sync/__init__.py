"""The blocking client: `connection.py` by hand, everything else made from `_async` by `make_sync.py`."""
