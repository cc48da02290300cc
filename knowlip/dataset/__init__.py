"""The data set on disk: the only folder that knows its layout. See docs/dataset.md."""

from knowlip.dataset.reader import Dataset
from knowlip.dataset.texts import TEXT_SCHEMA, publish_texts
from knowlip.dataset.verify import verify

__all__ = ["TEXT_SCHEMA", "Dataset", "publish_texts", "verify"]
