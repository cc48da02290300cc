"""One small file per product format. Each has a function `open_...(path, overrides) -> Scene`."""
