"""What is in a folder, an archive or a file, and which series to score."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from ctrs.config import IntakeConfig
from ctrs.errors import InputRejected, NoCtFound, SeveralScans
from ctrs.ingest import image_file
from ctrs.ingest.archive import (
    DAMAGED_INSIDE,
    EMPTY,
    UNOPENED,
    Unpacked,
    find_files,
    is_zip,
    relative,
    unpack,
)
from ctrs.ingest.choice import several_scans
from ctrs.ingest.dicom import DAMAGED, NO_DICOM, DicomFile, read_header
from ctrs.ingest.series import (
    AVERAGE,
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
# Of the longest one: a series that misses more than this of the body is not preferred. What goes
# on beyond a chest counts for nothing: abdomen and pelvis, 500 mm, may show no lung at all.
_COVERED = 0.85
_CHEST_MM = 300.0  # lungs of a tall man with their tips; series of the chest have 240 to 360
# In the tags of series that show something else, and of those that show the chest (as well).
_ELSEWHERE = ("abd", "pelvi", "becken", "leber", "liver", "head", "kopf", "brain", "neck", "spine")
_CHEST = ("chest", "thora", "lung", "pulm", "thx", "cap", "tap", "body", "torso")
_NAMED = 6  # of what was passed over
_NAME_ONE = "Choose the folder of one scan, or name the series to use."


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

    @property
    def is_image_file(self) -> bool:
        return image_file.is_image_file(self.series.files[0])

    def is_scan(self, config: IntakeConfig) -> bool:
        """Whether there are slices enough for a scan, usable or damaged; not of a mask."""
        is_ct = self.series.header.modality == "CT" and not isinstance(self.fault, NoCtFound)
        return is_ct and not self.is_image_file and self.n_images >= config.min_slices


@dataclass(frozen=True)
class Survey:
    """An inventory, and what was read by the way.

    Attributes:
        fault: What to raise where no series may be used: there is none, or there is a doubt.
        volume: Of the chosen series, where the path was a single image file.
        as_fit: Accepted series that are as fit as the chosen one but for kernel and slice
            distance, best first.
        stacks: Accepted DICOM series by their UID, headers read and judged.
        lost: For each of these beside which files lie that cannot be read: how many.
    """

    inventory: Inventory
    fault: InputRejected
    volume: Volume | None = None
    as_fit: tuple[Series, ...] = ()
    stacks: Mapping[str, Stack] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)


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
    n_images = 0
    for file, name in found.items():
        if file in data_files:
            continue
        if image_file.is_image_file(file):
            judged = _judge_image_file(file, config)
            # Many volumes would fill the memory; a lone one need not be read twice.
            candidates.append(judged if len(found) == 1 else replace(judged, volume=None))
        else:
            read = _read_dicom(file, name, config, by_series, rejected, last)
            n_images += len(read.images) if read else 0
            _check_images(n_images, config)
            last = read or last
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
    doubt = several_scans([*ranked, *(c.series for c in refused if c.is_scan(config))])
    doubt = doubt if ranked else ""  # the fault of what cannot be used is told first
    inventory = Inventory(n_files, series, tuple(rejected), ranked[0] if ranked else None, doubt)
    fault = SeveralScans(doubt, _NAME_ONE) if doubt else _why_nothing(refused, rejected, n_files)
    volume = candidates[0].volume if len(candidates) == 1 else None
    stacks = {c.series.header.series_uid: c.stack for c in fit if c.stack}
    lost = _lost(fit, refused, found, rejected)
    return Survey(inventory, fault, volume, _as_fit(fit, ranked), stacks, lost)


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
    sofar = Unpacked()
    if path in found and _opens_as_zip(path):
        found, rejected = _unpacked(path, "", config, sofar, scratch / "archive")
    for number, inner in enumerate([file for file in found if _opens_as_zip(file)]):
        name, folder = found.pop(inner), scratch / f"inner{number}"
        try:
            more, passed_over = _unpacked(inner, name, config, sofar, folder)
        except InputRejected as reason:
            shutil.rmtree(folder, ignore_errors=True)
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
    archive: Path, name: str, config: IntakeConfig, sofar: Unpacked, folder: Path
) -> tuple[dict[Path, str], list[RejectedFile]]:
    """The files of an archive by name, and what was passed over."""
    folder.mkdir(parents=True)
    passed_over = unpack(archive, folder, config, sofar)
    files, rejected = find_files(folder, config)
    inside = f"{name}/" if name else ""
    rejected = [RejectedFile(inside + r.path, r.reason) for r in (*passed_over, *rejected)]
    return {file: inside + relative(file, folder) for file in files}, rejected


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


def _check_images(n_images: int, config: IntakeConfig) -> None:
    """Refuse what would keep one busy for hours: few files can announce many frames."""
    if n_images > config.max_files:
        raise InputRejected(
            f"The files hold more than {config.max_files:,} images.",
            "Choose the folder of one CT study.",
        )


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
        rejected.append(RejectedFile(name, UNOPENED))
    else:
        by_series.setdefault(found.header.series_uid, []).append(found)
        return found
    return None


def _lost(
    fit: Sequence[_Candidate],
    refused: Sequence[_Candidate],
    found: Mapping[Path, str],
    rejected: Sequence[RejectedFile],
) -> dict[str, int]:
    """By the UID of a series: files beside its slices, named as they are, that cannot be read.

    They may be slices from an end of the scan, where no gap tells that they are missing.
    """
    lost = [_place(file.path) for file in rejected if _may_be_a_slice(file)]
    for candidate in refused:
        if candidate.n_images == 0 and candidate.series.header.modality in ("CT", ""):  # cut short
            lost += [_place(found[path]) for path in candidate.series.files]
    beside = Counter(lost)
    counts = {
        c.series.header.series_uid: sum(
            beside[place] for place in {_place(found[path]) for path in c.series.files}
        )
        for c in fit
        if c.stack
    }
    return {series_uid: count for series_uid, count in counts.items() if count}


def _place(name: str) -> tuple[str, str]:
    """Folder and ending of a file; what follows the last dot of a UID is no ending."""
    path = PurePosixPath(name)
    return str(path.parent), "" if path.suffix[1:].isdigit() else path.suffix.lower()


def _may_be_a_slice(file: RejectedFile) -> bool:
    if file.reason == NO_DICOM:  # without an ending it may be anything: README, say
        return bool(_place(file.path)[1])
    return file.reason.startswith((DAMAGED, DAMAGED_INSIDE, EMPTY, UNOPENED))


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


def _is_elsewhere(candidate: _Candidate) -> bool:
    """Whether the tags name another part of the body, and not the chest. They may be wrong: enough
    to prefer another series, never to refuse the only one."""
    header = candidate.series.header
    told = f"{header.body_part} {header.description}".casefold()
    return any(word in told for word in _ELSEWHERE) and not any(word in told for word in _CHEST)


_PREFERENCES: tuple[_Preference, ...] = (
    (lambda c, _: c.is_image_file, "a copy without its tags; the DICOM series is there"),
    (lambda c, _: AVERAGE in c.image_type,
     "averaged slabs; a series of plain slices is there"),
    (lambda c, longest: c.coverage_mm < _COVERED * longest,
     "covers {coverage:.0f} mm of the body; a series that covers {best:.0f} mm is there"),
    (lambda c, _: _is_elsewhere(c), "of another part of the body, by its tags"),
    (lambda c, _: _spacing_class(c),
     "{spacing:.4g} mm between slices; a thinner reconstruction is there"),
    (lambda c, _: _sharpness_order(c), "{kernel}; a softer reconstruction is there"),
    (lambda c, _: "DERIVED" in c.image_type, "derived images; the original ones are there"),
    (lambda c, longest: -round(min(c.coverage_mm, longest) / c.series.spacing[0]),
     "{slices} slices; a series with more slices is there"),
    (lambda c, _: c.series.spacing[0], "a series with thinner slices is there"),
)  # fmt: skip


_N_OF_FITNESS = 4  # the first ones say whether a series is fit at all; the others which is finer


def _ranked(candidates: Sequence[_Candidate], refused: Sequence[_Candidate]) -> list[Series]:
    """Accepted series, best first, each with its rank and its reasons in words."""
    longest = _longest(candidates)

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


def _longest(candidates: Sequence[_Candidate]) -> float:
    """How much of the body the longest one covers, as far as a chest goes."""
    return min(max((c.coverage_mm for c in candidates), default=0.0), _CHEST_MM)


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
    longest = _longest(fit)
    fitness = {
        c.series.header.series_uid: [value(c, longest) for value, _ in _PREFERENCES[:_N_OF_FITNESS]]
        for c in fit
    }
    best = min(fitness.values(), default=[])
    uids = {uid for uid, values in fitness.items() if values == best}
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
