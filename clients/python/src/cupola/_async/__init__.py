"""The asyncio client. Everything here but `connection.py` is also the source of `_sync`: see `make_sync.py`."""
