"""What the caption metrics of the field need Java for: Stanford's PTB tokeniser, METEOR 1.5, and SPICE.

The jars of the first two come with `pycocoevalcap`. SPICE needs two more that its code would fetch at run time; it is
asked only where they lie beside it already.
"""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

_PACKAGE: Final = "pycocoevalcap"
NO_PACKAGE: Final = f"It needs {_PACKAGE}: pip install 'knowlip[captions]'."
_SPICE_JARS: Final = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
_TIMEOUT_S: Final = 600
NO_SPICE: Final = (
    f"SPICE needs {' and '.join(_SPICE_JARS)} in {_PACKAGE}/spice/lib; nothing is fetched when a program runs."
)


def no_package() -> str:
    """Why the scores of the field cannot be computed at all; "" where they can."""
    return "" if find_spec(_PACKAGE) else NO_PACKAGE


def _folder() -> Path:
    spec = find_spec(_PACKAGE)
    assert spec is not None
    return Path(next(iter(spec.submodule_search_locations or ())))


def meteor_jar() -> Path:
    """METEOR's program, which also holds WordNet's table of synonyms."""
    from pycocoevalcap.meteor.meteor import METEOR_JAR

    return _folder() / "meteor" / METEOR_JAR


@cache
def no_java() -> str:
    """Why nothing of this can be measured; "" where it can."""
    if reason := no_package():
        return reason
    program = shutil.which("java")
    if program is None:
        return "It needs Java (a `java` on the path)."
    asked = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    return "" if asked.returncode == 0 else f"`java -version` failed: {asked.stderr.strip()[:200]}"


def no_spice() -> str:
    """Why SPICE is not asked; "" where it can be."""
    jars = _folder() / "spice" / "lib"
    return no_java() or ("" if all((jars / jar).is_file() for jar in _SPICE_JARS) else NO_SPICE)


def ptb(texts: Sequence[str]) -> list[str]:
    """Texts as the field's caption metrics read them: Stanford's PTB tokens in lower case without punctuation, with
    blanks between them.

    Raises:
        RuntimeError: Java failed, or gave back another number of lines than it was given.
    """
    from pycocoevalcap.tokenizer.ptbtokenizer import PUNCTUATIONS, STANFORD_CORENLP_3_4_1_JAR

    # One text a line: what Java or Unicode takes for the end of a line must not stand within one, or every later text
    # would get its neighbour's tokens. The wrapper of the package writes into its own folder, which may be read-only.
    lines = [" ".join(text.split()) for text in texts]
    if not lines:
        return []
    jar = _folder() / "tokenizer" / STANFORD_CORENLP_3_4_1_JAR
    command = ["java", "-Dfile.encoding=UTF-8", "-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer"]
    options = ["-preserveLines", "-lowerCase", "-charset", "UTF-8"]
    text = "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
    done = subprocess.run(command + options, input=text, capture_output=True, timeout=_TIMEOUT_S, check=False)
    found = done.stdout.decode("utf-8", "replace").split("\n")[:-1]
    if done.returncode or len(found) != len(lines):
        raise RuntimeError(
            f"The PTB tokeniser gave {len(found)} of {len(lines)} texts: {done.stderr.decode(errors='replace')[-200:]}"
        )
    # Split at blanks alone: what it takes for a telephone number is one token with no-break spaces in it.
    return [" ".join(word for word in line.rstrip().split(" ") if word not in PUNCTUATIONS) for line in found]


@cache
def _meteor() -> Any:
    from pycocoevalcap.meteor.meteor import Meteor

    return Meteor()  # its process loads for seconds: one for all


def meteor(generated: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """METEOR 1.5 of a corpus (Denkowski and Lavie 2014; English, `-norm`), of texts in one line each as :func:`ptb`
    gives them."""
    said: Mapping[int, list[str]] = {i: [_bare(text)] for i, text in enumerate(generated)}
    truth = {i: [_bare(text) for text in texts] for i, texts in enumerate(references)}
    score, _ = _meteor().compute_score(truth, said)
    return float(score)


def _bare(text: str) -> str:
    """Without what its protocol takes for the end of a text."""
    return " ".join(part for line in text.replace("|||", " ").splitlines() for part in line.split(" ") if part)


def spice(generated: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """SPICE of each text by the official program (Anderson et al., ECCV 2016), where :func:`no_spice` says nothing."""
    from pycocoevalcap.spice.spice import Spice

    said = {i: [text] for i, text in enumerate(generated)}
    _, each = Spice().compute_score(dict(enumerate(map(list, references))), said)
    return [float(one["All"]["f"]) for one in each]
