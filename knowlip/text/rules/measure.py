from dataclasses import dataclass
@dataclass(frozen=True)
class Context:
    airport: bool = False
    port: bool = False
    look_azimuth_deg: float | None = None
def measure(*a): raise ValueError
