"""Contradictions, impossible sizes and bad wording in texts."""
