"""The direction of imports, as a test: what knows of what cannot drift."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Each room may import only from those before it; a package is one room.
ORDER = [
    "__init__", "memory", "places", "errors", "types", "signed", "measurement", "config", "kernels",
    "ingest", "pair", "box", "lungs", "liver", "prepare", "link", "align", "lesions", "response",
    "text_table", "survival", "score", "rules", "trial", "model", "disk_cache", "slabs",
    "volume_cache", "pseudonym", "deidentify", "store", "cohort_import", "assess", "saliency",
    "what_if", "overlays", "linked", "analysis", "figures", "report", "demo", "release", "ui",
    "doctor", "cli", "__main__",
]  # fmt: skip

# Only there, by the start of the path inside the project. The doctor prints their versions.
ONLY_IN = {
    "streamlit": ("ctrs/ui/", "pages/", "app.py"),
    "starlette": ("ctrs/ui/",),
    "torch": ("ctrs/model/", "ctrs/doctor.py"),
    "monai": ("ctrs/model/",),
    "captum": ("ctrs/model/",),
    "pydicom": (
        "ctrs/ingest/dicom.py",
        "ctrs/trial/dicom.py",
        "ctrs/deidentify.py",
        "ctrs/doctor.py",
    ),
    "dicognito": ("ctrs/deidentify.py",),
    "duckdb": ("ctrs/store/",),
    "lifelines": ("ctrs/survival/",),
}
HEAVY = {"torch", "monai", "pydicom", "SimpleITK", "lifelines", "duckdb"}


def sources():
    found = [*(ROOT / "ctrs").rglob("*.py"), *(ROOT / "pages").glob("*.py"), ROOT / "app.py"]
    return sorted(path.relative_to(ROOT) for path in found)


def imports(path):
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(path):
    return path.parts[1].removesuffix(".py")


CTRS = [path for path in sources() if path.parts[0] == "ctrs"]
PAGES = [path for path in sources() if path.parts[0] != "ctrs"]


@pytest.mark.parametrize("path", CTRS, ids=str)
def test_a_module_imports_only_from_rooms_before_its_own(path):
    used = {name.split(".")[1] for name in imports(path) if name.startswith("ctrs.")}
    rooms = {name for name in used if name in ORDER}
    allowed = set(ORDER[: ORDER.index(room(path)) + 1])
    assert rooms <= allowed, f"{path} reaches up to {sorted(rooms - allowed)}"


def test_every_module_has_its_place_in_the_order():
    assert {room(path) for path in CTRS} <= set(ORDER)


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_known_in_one_place_only(library):
    users = [p.as_posix() for p in sources() if library in {n.split(".")[0] for n in imports(p)}]
    assert [user for user in users if not user.startswith(ONLY_IN[library])] == []


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_a_page_composes_and_is_short(path):
    text = (ROOT / path).read_text()
    tree = ast.walk(ast.parse(text))
    assert not HEAVY & {name.split(".")[0] for name in imports(path)}
    assert not any(isinstance(node, ast.FunctionDef | ast.Lambda) for node in tree)
    assert "session_state" not in text
    assert "unsafe_allow_html" not in text
    assert "st.html" not in text
    assert len(text.splitlines()) <= 150


def test_a_page_does_not_load_torch():
    code = "import sys; from ctrs import ui; print('torch' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "False"
