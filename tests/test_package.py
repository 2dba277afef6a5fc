"""The package as a whole: its public names, what importing it costs, and the rules every file keeps."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ifog
from ifog.shapes import ALPHABET

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "ifog"
FILES = sorted(SOURCE.rglob("*.py"))
PACKAGES = sorted(path.parent for path in SOURCE.rglob("__init__.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def relative(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def module_of(package: Path) -> str:
    return ".".join(["ifog", *package.relative_to(SOURCE).parts])


def modules_after(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded once it ran this code."""
    script = f"{code}\nimport sys; print('\\n' + ' '.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stderr.splitlines()[-1].split())


# --- what is loaded ---------------------------------------------------------------------------------------------------


def test_a_run_is_used_without_what_only_training_needs():
    loaded = modules_after("import ifog.tasks.jobs, ifog.generation")
    assert not loaded & {"lightning_fabric", "torchmetrics", "matplotlib", "scipy", "optuna"}


# --- public names -----------------------------------------------------------------------------------------------------


def test_the_public_names_are_these_and_no_others():
    assert ifog.__all__ == [
        "GRU",
        "LSTM",
        "RNN",
        "IfogError",
        "LanguageModel",
        "Recurrent",
        "__version__",
        "cell",
        "evaluate",
        "inspect",
        "load",
        "predict",
        "resume",
        "train",
    ]
    assert dir(ifog) == sorted(ifog.__all__)


@pytest.mark.parametrize("name", ifog.__all__)
def test_a_public_name_is_found_and_documented(name: str):
    value = getattr(ifog, name)
    assert name == "__version__" or value.__doc__


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(AttributeError, match=r"no attribute 'Lstm'.*LSTM"):
        _ = ifog.Lstm


def test_the_version_is_the_one_the_package_is_built_with():
    assert ifog.__version__ == PROJECT["version"]
    assert f"## [{ifog.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


# --- what importing costs ---------------------------------------------------------------------------------------------


def test_importing_ifog_imports_neither_torch_nor_numpy():
    assert not modules_after("import ifog") & {"torch", "numpy", "ifog._engine"}


def test_asking_for_help_imports_no_torch():
    code = "import sys; sys.argv = ['ifog', '--help']\nfrom ifog.cli import main\ntry: main()\nexcept SystemExit: pass"
    loaded = modules_after(code)
    assert "ifog.cli" in loaded
    assert not loaded & {"torch", "numpy", "matplotlib", "lightning_fabric", "ifog._engine"}


def test_using_a_name_imports_its_home():
    loaded = modules_after("import ifog\nifog.IfogError")
    assert "ifog.errors" in loaded
    assert "torch" not in loaded


# --- rules every file keeps -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", PACKAGES, ids=module_of)
def test_a_package_lists_what_it_exports_in_order_and_has_it(package: Path):
    module = importlib.import_module(module_of(package))

    def constants_classes_functions(name: str) -> tuple[int, str]:  # the order that ruff's RUF022 writes
        return (0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2, name)

    assert module.__all__ == sorted(module.__all__, key=constants_classes_functions)
    assert not [name for name in module.__all__ if not hasattr(module, name)]


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_a_file_is_short_enough_to_read(path: Path):
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_a_file_reads_and_writes_no_pickle(path: Path):
    forbidden = r"^\s*(import|from) (dill|pickle|shelve)\b|\btorch\.(load|save)\(|allow_pickle=True"
    assert not re.search(forbidden, path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_examples_stand_where_the_documentation_shows_them_as_code(path: Path):
    """Under `Examples:`; `Example:` is to the documentation a box of prose, and `>>>` in prose a quotation."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
            continue
        before, prompt, _ = (ast.get_docstring(node) or "").partition(">>>")
        assert not prompt or re.search(r"^Examples:$", before, re.MULTILINE), (
            f"in {getattr(node, 'name', 'the module')}"
        )


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_shapes_are_spelled_with_the_alphabet(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Subscript) or ast.unparse(node.value) not in {"Float", "Int", "Bool", "Shaped"}:
            continue
        shape = ast.literal_eval(node.slice.elts[1])  # Float[Tensor, "T B D"]
        sizes = re.findall(r"[A-Za-z_]\w*", shape)
        assert set(sizes) <= set(ALPHABET), f"line {node.lineno}: {shape!r} is not in the alphabet of ifog.shapes"


@pytest.mark.parametrize("package", PACKAGES, ids=module_of)
def test_a_package_has_a_page_of_reference(package: Path):
    pages = "\n".join(page.read_text() for page in (ROOT / "docs" / "reference").glob("*.md"))
    assert re.search(rf"^::: {re.escape(module_of(package))}(\.|$)", pages, re.MULTILINE)


# --- documentation ----------------------------------------------------------------------------------------------------


def examples() -> list[str]:
    """The Python of the pages that a newcomer reads."""
    pages = [(ROOT / "docs" / name).read_text() for name in ("index.md", "quickstart.md")]
    return [block for page in pages for block in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)]


@pytest.mark.parametrize("example", examples(), ids=lambda example: re.sub(r"\W+", "-", example)[-30:])
def test_an_example_of_the_documentation_runs(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    Path("book.txt").write_text("Once upon a time there was a gate that would not close.\n" * 200)
    exec(example.replace('budget="10m"', "steps=2"), {"__name__": "example"})
    assert ("print(" in example) == bool(capsys.readouterr().out)


# --- dependencies -----------------------------------------------------------------------------------------------------


def test_every_dependency_is_pinned_within_its_range():
    wanted = [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]]
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    assert len(pins) == len(lines)
    for requirement in wanted:
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier
