"""What is in a folder, an archive or a file, and which series to score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ctrs.config import IntakeConfig
from ctrs.errors import InputRejected, NoCtFound, SeveralScans
from ctrs.ingest import image_file
from ctrs.ingest.archive import find_files, is_zip, relative, unpack
from ctrs.ingest.choice import several_scans
from ctrs.ingest.dicom import DicomFile, read_header
from ctrs.ingest.series import (
    Stack,
    extent,
    is_screenshot,
    split_acquisitions,
    split_foreign,
    split_localizers,
    stack,
)
from ctrs.kernels import Sharpness, sharpness
from ctrs.types import Inventory, RejectedFile, Series, SeriesHeader, Volume

# Model and reader gain nothing below about 1 mm; above, each class shows visibly less.
_SPACING_CLASSES_MM = (1.5, 3.0, 5.0)
# Of the longest one: a series that misses more than this of the body is not preferred.
_COVERED = 0.85
_NAMED = 6  # of what was passed over
_NAME_ONE = "Choose the folder of one scan, or name the series to use."
# Thick slabs made of thin slices: their values are not those of a slice.
_PROJECTIONS = {"MIP", "MINIP", "MAX_IP", "MIN_IP", "MPR_MIP", "PROJECTION IMAGE", "AVERAGE"}


@dataclass(frozen=True)
class _Candidate:
    """A series under judgement. ``fault`` is what `read_volume` would raise, if anything."""

    series: Series
    image_type: tuple[str, ...] = ()
    n_images: int = 0
    fault: InputRejected | None = None
    volume: Volume | None = None
    stack: Stack | None = None
    part: str = ""  # which acquisition of its series, in words; "" for a whole series

    @property
    def coverage_mm(self) -> float:
        return self.series.shape[0] * self.series.spacing[0]


@dataclass(frozen=True)
class Survey:
    """An inventory, and what was read by the way.

    Attributes:
        fault: What to raise where no series may be used: there is none, or there is a doubt.
        volume: Of the chosen series, where the path was a single image file.
        as_fit: Accepted series that are as fit as the chosen one but for kernel and slice
            distance, best first.
        stacks: Accepted DICOM series by their UID, headers read and judged.
    """

    inventory: Inventory
    fault: InputRejected
    volume: Volume | None = None
    as_fit: tuple[Series, ...] = ()
    stacks: Mapping[str, Stack] = field(default_factory=dict)


def take_inventory(path: Path, config: IntakeConfig, scratch: Path) -> Inventory:
    """Everything found in a folder, .zip or single file, with the series ranked.

    DICOM is judged by its headers alone, so that thousands of files take seconds. Image files
    (NIfTI, NRRD, MetaImage) are read whole: their headers do not tell a CT from a mask.

    Args:
        path: A folder (searched whole), a .zip, a DICOM file, or an image file.
        scratch: An empty folder; archives are unpacked into it, and series point into it.

    Raises:
        UnsafeArchive: The archive is a bomb, leads outside, or is encrypted.
        InputRejected: There is nothing at ``path``, or far too much.
    """
    return survey(path, config, scratch).inventory


def survey(path: Path, config: IntakeConfig, scratch: Path) -> Survey:
    """As `take_inventory`, with the error to raise if no series can be used."""
    found, rejected = _gather(path, config, scratch)
    n_files = len(found) + len(rejected)
    candidates: list[_Candidate] = []
    by_series: dict[str, list[DicomFile]] = {}
    data_files = _data_files(list(found))
    last: DicomFile | None = None
    for file, name in found.items():
        if file in data_files:
            continue
        if image_file.is_image_file(file):
            judged = _judge_image_file(file, config)
            # Many volumes would fill the memory; a lone one need not be read twice.
            candidates.append(judged if len(found) == 1 else replace(judged, volume=None))
        else:
            last = _read_dicom(file, name, config, by_series, rejected, last) or last
    for members in by_series.values():
        images, foreign = split_foreign(members)
        slices, localizers = split_localizers(images)
        candidates += _judge_series(slices, config)
        rejected += [
            RejectedFile(found[file.path], f"{_stray(file)} within a CT series, set aside")
            for file in (*foreign, *localizers)
        ]
    fit = [c for c in candidates if c.fault is None]
    refused = sorted((c for c in candidates if c.fault), key=_promise, reverse=True)
    ranked = _ranked(fit, refused)
    series = (*ranked, *(c.series for c in refused))
    doubt = several_scans(ranked)
    inventory = Inventory(n_files, series, tuple(rejected), ranked[0] if ranked else None, doubt)
    fault = SeveralScans(doubt, _NAME_ONE) if doubt else _why_nothing(refused, rejected, n_files)
    volume = candidates[0].volume if len(candidates) == 1 else None
    stacks = {c.series.header.series_uid: c.stack for c in fit if c.stack}
    return Survey(inventory, fault, volume, _as_fit(fit, ranked), stacks)


# --- Finding --------------------------------------------------------------------------------


def _gather(
    path: Path, config: IntakeConfig, scratch: Path
) -> tuple[dict[Path, str], list[RejectedFile]]:
    """The files to look at, by the names that the user knows, and what was passed over already.

    An archive is unpacked, and so are archives inside; what is inside of those is not.
    """
    if path.is_dir():
        files, rejected = find_files(path, config)
        found = {file: relative(file, path) for file in files}
    elif path.is_file():
        found, rejected = {path: path.name}, []
    else:
        raise InputRejected(
            "There is no such file or folder.", "Check the path, and that it can be opened."
        )
    budget = config
    if path in found and _opens_as_zip(path):
        found, rejected, budget = _unpacked(path, "", budget, scratch / "archive")
    for number, inner in enumerate([file for file in found if _opens_as_zip(file)]):
        name = found.pop(inner)
        try:
            more, passed_over, budget = _unpacked(inner, name, budget, scratch / f"inner{number}")
        except InputRejected as reason:
            rejected.append(RejectedFile(name, reason.what))
        else:
            found |= more
            rejected += passed_over
    return found, rejected


def _opens_as_zip(path: Path) -> bool:
    try:
        return is_zip(path)
    except OSError:
        return False  # whoever reads it will say why


def _unpacked(
    archive: Path, name: str, budget: IntakeConfig, folder: Path
) -> tuple[dict[Path, str], list[RejectedFile], IntakeConfig]:
    """The files of an archive by name, what was passed over, and what may still be unpacked."""
    folder.mkdir(parents=True)
    passed_over = unpack(archive, folder, budget)
    files, rejected = find_files(folder, budget)
    inside = f"{name}/" if name else ""
    rejected = [RejectedFile(inside + r.path, r.reason) for r in (*passed_over, *rejected)]
    written = sum(file.stat().st_size for file in files)
    rest = replace(
        budget,
        max_files=budget.max_files - len(files),
        max_unpacked_bytes=budget.max_unpacked_bytes - written,
    )
    return {file: inside + relative(file, folder) for file in files}, rejected, rest


def _data_files(files: Sequence[Path]) -> set[Path]:
    """Voxels that belong to a header beside them (``scan.mhd`` with ``scan.raw``)."""
    headers = {f.with_suffix("") for f in files if f.suffix.lower() in (".mhd", ".nhdr")}
    endings = (".raw", ".zraw", ".gz")
    return {
        f
        for f in files
        if f.suffix.lower() in endings
        and not image_file.is_image_file(f)
        and {f.with_suffix(""), f.with_suffix("").with_suffix("")} & headers
    }


def _read_dicom(
    file: Path,
    name: str,
    config: IntakeConfig,
    by_series: dict[str, list[DicomFile]],
    rejected: list[RejectedFile],
    last: DicomFile | None,
) -> DicomFile | None:
    """File a DICOM file under its series, or among the rejected ones (``None``)."""
    try:
        if is_zip(file):
            raise InputRejected("an archive inside an archive inside; it is not unpacked", "")
        found = read_header(file, config, last)
    except InputRejected as reason:
        rejected.append(RejectedFile(name, reason.what))
    except OSError:
        rejected.append(RejectedFile(name, "cannot be opened"))
    else:
        by_series.setdefault(found.header.series_uid, []).append(found)
        return found
    return None


# --- Judging --------------------------------------------------------------------------------


def _judge_series(files: Sequence[DicomFile], config: IntakeConfig) -> list[_Candidate]:
    """The series as it is, or each of its acquisitions where one of those is a volume."""
    whole = _judge_dicom(files, config)
    if whole.fault is None:
        return [whole]
    parts = split_acquisitions(files, whole.fault)
    judged = []
    for number, members in enumerate(parts, 1):
        # A UID has digits and dots only: with this mark it is nobody else's.
        uid = f"{whole.series.header.series_uid}#{number}"
        named = [replace(file, header=replace(file.header, series_uid=uid)) for file in members]
        part = f"acquisition {number} of {len(parts)} in its series"
        judged.append(replace(_judge_dicom(named, config), part=part))
    return judged if any(candidate.fault is None for candidate in judged) else [whole]


def _judge_dicom(files: Sequence[DicomFile], config: IntakeConfig) -> _Candidate:
    first = files[0]
    n_images = sum(len(file.images) for file in files)
    try:
        found = stack(files, config)
    except InputRejected as fault:
        paths = tuple(file.path for file in files)
        series = Series(first.header, paths, False, (fault.what,), None, *extent(files))
        return _Candidate(series, first.image_type, n_images, fault)
    series = Series(
        found.files[0].header, found.paths, True, (), None, found.layout.shape, found.layout.spacing
    )
    return _Candidate(series, first.image_type, n_images, stack=found)


def _judge_image_file(file: Path, config: IntakeConfig) -> _Candidate:
    header = SeriesHeader(series_uid=image_file.name_of(file))
    try:
        volume = image_file.read_volume(file, config)
    except InputRejected as fault:
        grid = image_file.extent(file)
        series = Series(header, (file,), False, (fault.what,), None, *grid)
        return _Candidate(series, n_images=1, fault=fault)
    slices, rows, columns = volume.hu.shape
    series = Series(header, (file,), True, (), None, (slices, rows, columns), volume.spacing)
    return _Candidate(series, n_images=slices, volume=replace(volume, header=header))


def _stray(file: DicomFile) -> str:
    if is_screenshot(file):
        return "a screenshot"
    return "a localizer" if file.header.modality == "CT" else file.header.modality


def _promise(candidate: _Candidate) -> tuple[bool, bool, int]:
    """How near a refused series was to being usable: its fault is the one worth telling."""
    is_ct = not isinstance(candidate.fault, NoCtFound)
    return is_ct, candidate.series.header.modality == "CT", candidate.n_images


def _why_nothing(
    refused: Sequence[_Candidate], rejected: Sequence[RejectedFile], n_files: int
) -> InputRejected:
    if refused and refused[0].fault and any(_promise(refused[0])[:2]):
        return refused[0].fault
    kinds = sorted({c.series.header.modality or "unknown" for c in refused})
    also = f" (found: {', '.join(kinds)})" if kinds else ""
    usual = Counter(file.reason for file in rejected).most_common(1)
    why = "".join(f" The reason for {times} of them: {reason}." for reason, times in usual)
    none_is = "The file is not" if n_files == 1 else f"None of the {n_files} files is"
    return NoCtFound(
        f"{none_is} a usable CT image{also}.{why}",
        "Choose the folder of a chest CT series (files usually end in .dcm).",
    )


# --- Ranking --------------------------------------------------------------------------------

# What is compared, in this order; the smaller value wins. The words are for the loser.
_Preference = tuple[Callable[[_Candidate, float], float], str]


def _spacing_class(candidate: _Candidate) -> int:
    return sum(candidate.series.spacing[0] > limit for limit in _SPACING_CLASSES_MM)


def _sharpness_order(candidate: _Candidate) -> int:
    order = (Sharpness.SOFT, Sharpness.UNKNOWN, Sharpness.SHARP)
    return order.index(sharpness(candidate.series.header.kernel))


_PREFERENCES: tuple[_Preference, ...] = (
    (lambda c, _: bool(_PROJECTIONS & set(c.image_type)),
     "a projection (MIP or average); a series of plain slices is there"),
    (lambda c, longest: c.coverage_mm < _COVERED * longest,
     "covers {coverage:.0f} mm of the body; a series that covers {best:.0f} mm is there"),
    (lambda c, _: _spacing_class(c),
     "{spacing:.4g} mm between slices; a thinner reconstruction is there"),
    (lambda c, _: _sharpness_order(c), "{kernel}; a softer reconstruction is there"),
    (lambda c, _: "DERIVED" in c.image_type, "derived images; the original ones are there"),
    (lambda c, _: -c.series.shape[0], "{slices} slices; a series with more slices is there"),
    (lambda c, _: c.series.spacing[0], "a series with thinner slices is there"),
)  # fmt: skip


_N_OF_FITNESS = 2  # the first ones say whether a series is fit at all; the others which is finer


def _ranked(candidates: Sequence[_Candidate], refused: Sequence[_Candidate]) -> list[Series]:
    """Accepted series, best first, each with its rank and its reasons in words."""
    longest = max((c.coverage_mm for c in candidates), default=0.0)

    def key(candidate: _Candidate) -> tuple[float | str, ...]:
        values = (value(candidate, longest) for value, _ in _PREFERENCES)
        return (*values, candidate.series.header.series_uid)

    best_first = sorted(candidates, key=key)
    passed_over = _passed_over([*best_first[1:], *refused])
    return [
        replace(
            c.series,
            rank=rank,
            reasons=(*_reasons(c, best_first[0], longest), *(passed_over if rank == 1 else ())),
        )
        for rank, c in enumerate(best_first, start=1)
    ]


def _passed_over(others: Sequence[_Candidate]) -> tuple[str, ...]:
    """What else there was, in one line; each kind once."""
    words = list(dict.fromkeys(_kind(candidate) for candidate in others))
    more = f" and {len(words) - _NAMED} more" if len(words) > _NAMED else ""
    return (f"passed over: {', '.join(words[:_NAMED])}{more}",) if words else ()


def _kind(candidate: _Candidate) -> str:
    header, spacing = candidate.series.header, candidate.series.spacing[0]
    if candidate.fault is None:
        return candidate.part or f"{spacing:.4g} mm {_kernel_words(header.kernel)}"
    if "LOCALIZER" in candidate.image_type:
        return "localizer"
    if header.modality != "CT":
        return header.modality or "images of no named kind"
    if isinstance(candidate.fault, NoCtFound):
        return "screenshots"
    return "a CT series that cannot be used"


def _as_fit(fit: Sequence[_Candidate], ranked: Sequence[Series]) -> tuple[Series, ...]:
    """Accepted series that the first preferences do not put behind the best one."""
    longest = max((c.coverage_mm for c in fit), default=0.0)
    uids = {
        c.series.header.series_uid
        for c in fit
        if not any(value(c, longest) for value, _ in _PREFERENCES[:_N_OF_FITNESS])
    }
    return tuple(series for series in ranked if series.header.series_uid in uids)


def _reasons(candidate: _Candidate, best: _Candidate, longest: float) -> tuple[str, ...]:
    series = candidate.series
    kernel = _kernel_words(series.header.kernel)
    spacing = series.spacing[0]
    summary = (
        f"axial, {spacing:.4g} mm between slices, {kernel}, {series.shape[0]} slices over "
        f"{candidate.coverage_mm:.0f} mm{candidate.part and f', {candidate.part}'}"
    )
    if candidate is best:
        return (summary,)
    words = next(
        (w for value, w in _PREFERENCES if value(candidate, longest) > value(best, longest)),
        "as good as the chosen one",
    )
    against = words.format(
        coverage=candidate.coverage_mm, best=best.coverage_mm, spacing=spacing, kernel=kernel,
        slices=series.shape[0],
    )  # fmt: skip
    return summary, against


def _kernel_words(kernel: str) -> str:
    if not kernel:
        return "kernel not given"
    kind = sharpness(kernel)
    return "kernel of unknown sharpness" if kind is Sharpness.UNKNOWN else f"{kind} kernel"
