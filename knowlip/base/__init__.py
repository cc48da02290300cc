"""Files, settings, progress, statistics and vocabularies that every other room uses.

Words that are ours, and why:

    sub-text   one of the eight labelled sentences of a tile's text ("Count: three ships."); the paper's "fragment",
               which elsewhere means an incomplete sentence
    slot       the place of a sub-text in that order: 1 to 8 in files, 0 to 7 in code
    hole       what was cut from a text, of any length, behind one [MASK]; "mask" is the token and, of tensors, padding
    infilling  text infilling as in BART: one [MASK] for a span of unknown length, written by a decoder. The paper's MLM
               (Eq. 6) predicts one token a mask
    revision   one append to the texts of a data set: decisions, and new words where they were accepted
    noise      label noise: a sub-text that is wrong. Natural where the annotator made it, injected where we did
    margin     column of the texts' tables: the threshold that a decision was made with. Files written before have it
"""
