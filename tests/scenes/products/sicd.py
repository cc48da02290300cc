"""SICD files, written by sarkit from metadata made here: a zero-Doppler image (range migration, INCA) from a circular
orbit."""

import warnings
from pathlib import Path
from unittest import mock

import numpy as np

from tests.scenes.products import Product
from tests.scenes.products.orbits import TO_EARTH, Circle

LON, LAT, HEIGHT = 139.78, 35.55, 40.0
SHAPE = (300, 340)
"""Range, azimuth."""
SPACING = (0.8, 1.1)
FREQUENCY = (9.5e9, 9.7e9)
SIGMA = np.array([[2.0e-4, 1.0e-8], [-3.0e-8, 0.0]])
"""SigmaZeroSFPoly: coefficients of metres from the scene centre."""


def _xyz(tag: str, values: np.ndarray) -> str:
    x, y, z = (float(value) for value in values)
    return f"<{tag}><X>{x!r}</X><Y>{y!r}</Y><Z>{z!r}</Z></{tag}>"


def _poly2(tag: str, coefficients: np.ndarray) -> str:
    m, n = coefficients.shape
    terms = "".join(
        f'<Coef exponent1="{i}" exponent2="{j}">{float(coefficients[i, j])!r}</Coef>'
        for i in range(m)
        for j in range(n)
    )
    return f'<{tag} order1="{m - 1}" order2="{n - 1}">{terms}</{tag}>'


def _poly1(tag: str, coefficients: np.ndarray) -> str:
    terms = "".join(f'<Coef exponent1="{i}">{float(value)!r}</Coef>' for i, value in enumerate(coefficients))
    return f'<{tag} order1="{len(coefficients) - 1}">{terms}</{tag}>'


def sicd_xml(circle: Circle, time: float, pixel: str, shape: tuple[int, int], radiometric: str) -> str:
    """Metadata of an image whose columns are zero-Doppler times (as many metres apart as `SPACING` says)."""
    position, velocity = (np.array(values) for values in circle.at(time))
    target = np.array(TO_EARTH.transform(LON, LAT, HEIGHT))
    sight = target - position
    distance = float(np.linalg.norm(sight))
    row = sight / distance
    spn = np.cross(row, velocity) if circle.side == "left" else np.cross(velocity, row)
    column = np.cross(spn / np.linalg.norm(spn), row)
    # The scene centre is at 1 s of the collection's clock; time falls along the columns of left-looking radars.
    slope = (1 if circle.side == "right" else -1) / np.linalg.norm(velocity)
    clock = np.linspace(-3, 3, 25)
    orbit = np.array([circle.at(time + t)[0] for t in clock])
    polys = [np.polynomial.polynomial.polyfit(clock + 1, orbit[:, axis], 5) for axis in range(3)]
    arp = "".join(_poly1(axis, values) for axis, values in zip("XYZ", polys))
    corner = "".join(
        f'<ICP index="{name}"><Lat>{LAT + dy}</Lat><Lon>{LON + dx}</Lon></ICP>'
        for name, dx, dy in (
            ("1:FRFC", -0.01, 0.01),
            ("2:FRLC", 0.01, 0.01),
            ("3:LRLC", 0.01, -0.01),
            ("4:LRFC", -0.01, -0.01),
        )
    )

    def direction(tag: str, unit: np.ndarray, spacing: float, centre: float) -> str:
        return (
            f"<{tag}>{_xyz('UVectECF', unit)}<SS>{spacing}</SS><ImpRespWid>{spacing * 1.2}</ImpRespWid><Sgn>-1</Sgn>"
            f"<ImpRespBW>{0.8 / spacing}</ImpRespBW><KCtr>{centre}</KCtr><DeltaK1>{-0.4 / spacing}</DeltaK1>"
            f"<DeltaK2>{0.4 / spacing}</DeltaK2></{tag}>"
        )

    return f"""<SICD xmlns="urn:SICD:1.4.0">
<CollectionInfo><CollectorName>UMBRA-04</CollectorName><CoreName>a</CoreName><CollectType>MONOSTATIC</CollectType>
<RadarMode><ModeType>SPOTLIGHT</ModeType></RadarMode><Classification>UNCLASSIFIED</Classification></CollectionInfo>
<ImageData><PixelType>{pixel}</PixelType><NumRows>{shape[0]}</NumRows><NumCols>{shape[1]}</NumCols>
<FirstRow>0</FirstRow><FirstCol>0</FirstCol>
<FullImage><NumRows>{shape[0]}</NumRows><NumCols>{shape[1]}</NumCols></FullImage>
<SCPPixel><Row>{shape[0] // 2}</Row><Col>{shape[1] // 2}</Col></SCPPixel></ImageData>
<GeoData><EarthModel>WGS_84</EarthModel><SCP>{_xyz("ECF", target)}
<LLH><Lat>{LAT}</Lat><Lon>{LON}</Lon><HAE>{HEIGHT}</HAE></LLH></SCP><ImageCorners>{corner}</ImageCorners></GeoData>
<Grid><ImagePlane>SLANT</ImagePlane><Type>RGZERO</Type>{_poly2("TimeCOAPoly", np.array([[1.0, slope]]))}
{direction("Row", row, SPACING[0], 2 * 9.6e9 / 299792458.0)}{direction("Col", column, SPACING[1], 0.0)}</Grid>
<Timeline><CollectStart>2023-07-18T02:30:33.250000Z</CollectStart><CollectDuration>2.0</CollectDuration></Timeline>
<Position><ARPPoly>{arp}</ARPPoly></Position>
<RadarCollection><TxFrequency><Min>{FREQUENCY[0]}</Min><Max>{FREQUENCY[1]}</Max></TxFrequency>
<TxPolarization>V</TxPolarization><RcvChannels size="1"><ChanParameters index="1">
<TxRcvPolarization>V:V</TxRcvPolarization></ChanParameters></RcvChannels></RadarCollection>
<ImageFormation><RcvChanProc><NumChanProc>1</NumChanProc><ChanIndex>1</ChanIndex></RcvChanProc>
<TxRcvPolarizationProc>V:V</TxRcvPolarizationProc><ImageFormAlgo>RMA</ImageFormAlgo></ImageFormation>
<SCPCOA><SCPTime>1.0</SCPTime>{_xyz("ARPPos", position)}{_xyz("ARPVel", velocity)}{_xyz("ARPAcc", -position * 1e-6)}
<SideOfTrack>{"R" if circle.side == "right" else "L"}</SideOfTrack><SlantRange>{distance}</SlantRange>
<GrazeAng>55.0</GrazeAng><IncidenceAng>35.0</IncidenceAng><SlopeAng>56.0</SlopeAng><AzimAng>255.0</AzimAng></SCPCOA>
{radiometric}
<RMA><RMAlgoType>OMEGA_K</RMAlgoType><ImageType>INCA</ImageType><INCA>{_poly1("TimeCAPoly", np.array([1.0, slope]))}
<R_CA_SCP>{distance!r}</R_CA_SCP><FreqZero>9.6e9</FreqZero>{_poly2("DRateSFPoly", np.array([[1.0]]))}</INCA></RMA>
</SICD>"""


def radiometric_xml(factors: dict[str, np.ndarray], noise_db: float | None = None) -> str:
    noise = ""
    if noise_db is not None:
        level = _poly2("NoisePoly", np.array([[noise_db]]))
        noise = f"<NoiseLevel><NoiseLevelType>ABSOLUTE</NoiseLevelType>{level}</NoiseLevel>"
    return f"<Radiometric>{noise}{''.join(_poly2(tag, value) for tag, value in factors.items())}</Radiometric>"


def make(
    folder: Path,
    pixel: str = "RE32F_IM32F",
    side: str = "right",
    factors: dict[str, np.ndarray] | None = None,
    noise_db: float | None = None,
    segments: int = 1,
) -> Product:
    """Write a SICD.

    Args:
        folder: where to.
        pixel: type of the pixels.
        side: the radar looks to.
        factors: scale factor polynomials; None: no `Radiometric`.
        noise_db: level of the noise polynomial.
        segments: image segments that the rows are spread over.
    """
    import lxml.etree
    import sarkit.sicd as sksicd

    folder.mkdir(parents=True, exist_ok=True)
    circle = Circle(LON, LAT, side=side)
    time = 0.0
    for _ in range(12):
        time += circle.range_and_rate(time, LON, LAT, HEIGHT)[1] / 97.0
    radiometric = "" if factors is None else radiometric_xml(factors, noise_db)
    xml = sicd_xml(circle, time, pixel, SHAPE, radiometric)
    random = np.random.default_rng(13)
    if pixel == "RE32F_IM32F":
        pixels = (random.normal(0, 30, SHAPE) + 1j * random.normal(0, 30, SHAPE)).astype(np.complex64)
        power = np.abs(pixels.astype(complex)) ** 2
    elif pixel == "RE16I_IM16I":
        pixels = np.zeros(SHAPE, sksicd.PIXEL_TYPES[pixel]["dtype"])
        pixels["real"], pixels["imag"] = random.normal(0, 700, (2, *SHAPE)).round()
        power = pixels["real"].astype(float) ** 2 + pixels["imag"].astype(float) ** 2
    else:
        pixels = np.zeros(SHAPE, sksicd.PIXEL_TYPES[pixel]["dtype"])
        pixels["amp"] = np.clip(random.rayleigh(60, SHAPE), 1, 255)
        pixels["phase"] = random.integers(0, 256, SHAPE)
        power = pixels["amp"].astype(float) ** 2
    security = sksicd.NitfSecurityFields(clas="U")
    metadata = sksicd.NitfMetadata(
        xmltree=lxml.etree.fromstring(xml).getroottree(),
        file_header_part=sksicd.NitfFileHeaderPart(ostaid="here", security=security),
        im_subheader_part=sksicd.NitfImSubheaderPart(isorce="radar", security=security),
        de_subheader_part=sksicd.NitfDeSubheaderPart(security=security),
    )
    path = folder / "2023-07-18-02-30-32_UMBRA-04_SICD_MM.nitf"
    jbp = _segmented(metadata, segments) if segments > 1 else None
    with (
        path.open("wb") as file,
        warnings.catch_warnings(action="ignore"),  # the metadata leave out what nobody reads
        sksicd.NitfWriter(file, metadata, jbp_override=jbp) as writer,
    ):
        writer.write_image(pixels)
    speed = np.linalg.norm(circle.at(time)[1])
    distance = circle.range_and_rate(time, LON, LAT, HEIGHT)[0]
    line = SPACING[1] / speed * (1 if side == "right" else -1)
    swapped = circle.truth(
        time - (SHAPE[1] // 2) * line, line, distance - (SHAPE[0] // 2) * SPACING[0], SPACING[0], HEIGHT, (LON, LAT)
    )

    def truth(columns, rows):
        """Rows are ranges and columns azimuth times."""
        return swapped(rows, columns)

    if factors and "SigmaZeroSFPoly" in factors:
        x = (np.arange(SHAPE[0]) - SHAPE[0] // 2) * SPACING[0]
        y = (np.arange(SHAPE[1]) - SHAPE[1] // 2) * SPACING[1]
        power = power * np.polynomial.polynomial.polygrid2d(x, y, factors["SigmaZeroSFPoly"])
    return Product(path, truth, min(SPACING), power)


def _segmented(metadata, segments: int):
    """The same file structure with the rows in several image segments, as large images have."""
    import sarkit.sicd as sksicd
    import sarkit.sicd._io as module

    with mock.patch.object(module.sicdconst, "ILOC_MAX", SHAPE[0] // segments + 1):
        return sksicd.jbp_from_nitf_metadata(metadata)
