"""The feature queue: momentum features of past batches as extra negatives of the contrastive loss."""

import torch
from torch import Tensor, nn


class FeatureQueue(nn.Module):
    """A ring buffer of image and text features with the image's id and the text's hash of each entry.

    A place that was never written has image id -1. The training step reads all places and leaves those out, so that no
    shape depends on how full the queue is and the processor never waits for the device to say so.

    It wraps at any batch size (BLIP asserts that the queue is a multiple of the batch; 20,000 is not one of 256).

    Args:
        size: number of entries; 0 for none.
        width: width of the features.
    """

    image: Tensor
    text: Tensor
    image_id: Tensor
    text_hash: Tensor
    written: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("image", torch.zeros(size, width))
        self.register_buffer("text", torch.zeros(size, width))
        self.register_buffer("image_id", torch.full((size,), -1, dtype=torch.long))
        self.register_buffer("text_hash", torch.full((size,), -1, dtype=torch.long))
        self.register_buffer("written", torch.zeros((), dtype=torch.long))

    def __len__(self) -> int:
        """How many entries are filled."""
        return min(int(self.written), self.size)

    @torch.no_grad()
    def push(self, image_BE: Tensor, text_BE: Tensor, image_id_B: Tensor, text_hash_B: Tensor) -> None:
        """Write a batch over the oldest entries. Of a batch larger than the queue, the last rows stay."""
        if self.size == 0:
            return
        batch = len(image_BE)
        places = (self.written + torch.arange(batch, device=self.image.device)) % self.size
        keep = slice(max(0, batch - self.size), None)
        for buffer, rows in (
            (self.image, image_BE),
            (self.text, text_BE),
            (self.image_id, image_id_B),
            (self.text_hash, text_hash_B),
        ):
            buffer.index_copy_(0, places[keep], rows[keep].to(buffer.dtype))
        self.written += batch

    def entries(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The filled entries: image features, text features, image ids, text hashes."""
        filled = len(self)
        return self.image[:filled], self.text[:filled], self.image_id[:filled], self.text_hash[:filled]

    def duplicates(self) -> float:
        """Share of the filled entries whose text stands in the queue more than once; 0 when it is empty.

        Those are positives, not negatives: the nearer to 1, the fewer different texts the queue holds.
        """
        _, counts = self.text_hash[: len(self)].unique(return_counts=True)
        return float(counts[counts > 1].sum()) / max(1, len(self))
