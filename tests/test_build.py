"""The C++ part: its own tests, the wheels with and without a compiler, and how the package does without the engine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import warnings
import zipfile
from pathlib import Path

import pytest

from ifog.kernels import EngineMissingWarning, available, engine, loading

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ.get('PATH', '')}"}

needs_compiler = pytest.mark.skipif(
    not any(shutil.which(name) for name in (os.environ.get("CXX", "c++"), "g++", "clang++")),
    reason="no C++ compiler on the PATH",
)


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build_wheel(folder: Path, **environment: str) -> Path:
    run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-cache-dir"),
        *(ROOT, "--wheel-dir", folder),
        **environment,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


# --- with a compiler --------------------------------------------------------------------------------------------------


@needs_compiler
def test_the_tests_of_the_engine_pass_with_every_compiler_warning_an_error(tmp_path: Path):
    run("cmake", "-S", ROOT / "csrc", "-B", tmp_path, "-G", "Ninja")
    run("cmake", "--build", tmp_path)
    assert "100% tests passed" in run("ctest", "--test-dir", tmp_path, "--output-on-failure")


@needs_compiler
def test_the_engine_reads_and_writes_what_is_its_own_and_leaves_nothing_undefined(tmp_path: Path):
    run("cmake", "-S", ROOT / "csrc", "-B", tmp_path, "-G", "Ninja", "-DIFOG_SANITIZE=ON", "-DCMAKE_BUILD_TYPE=Debug",
        "-DCMAKE_CXX_FLAGS_DEBUG=-O1 -g1")  # fmt: skip
    run("cmake", "--build", tmp_path)
    assert "100% tests passed" in run("ctest", "--test-dir", tmp_path, "--output-on-failure", "-j2")


@needs_compiler
def test_a_wheel_built_with_a_compiler_carries_the_engine(tmp_path: Path):
    wheel = build_wheel(tmp_path)
    interpreter = f"cp{sys.version_info.major}{sys.version_info.minor}"
    expected = "-cp312-abi3-" if sys.version_info >= (3, 12) else f"-{interpreter}-{interpreter}-"
    assert expected in wheel.name
    names = zipfile.ZipFile(wheel).namelist()
    assert len([name for name in names if name.startswith("ifog/_engine.")]) == 1
    assert "ifog/py.typed" in names


@pytest.mark.skipif(not available(), reason="the engine is not built")
def test_the_engine_names_the_instructions_of_this_cpu():
    features = engine().cpu_features()
    assert features == sorted(set(features), key=features.index)
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    for name in {"sse2", "avx2", "fma"} & set(features):
        assert not flags or name in flags.split()


# --- without ----------------------------------------------------------------------------------------------------------


def test_a_wheel_built_without_a_compiler_is_the_whole_package_without_the_engine(tmp_path: Path):
    wheel = build_wheel(tmp_path, CC="/nonexistent", CXX="/nonexistent")
    assert wheel.name.endswith("-py3-none-any.whl")
    files = {f"ifog/{path.relative_to(ROOT / 'src' / 'ifog')}" for path in (ROOT / "src" / "ifog").rglob("*.py")}
    names = zipfile.ZipFile(wheel).namelist()
    assert files <= set(names)
    assert not [name for name in names if "_engine" in name]
    # -S: nothing but the standard library and this wheel, so neither torch nor the installed ifog can help.
    code = "import sys; sys.path.insert(0, sys.argv[1]); import ifog.kernels as k; print(k.available(), k.engine())"
    assert run(sys.executable, "-S", "-W", "ignore", "-c", code, wheel).split() == ["False", "None"]


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch):
    caches = (loading._load, loading._warn_once)
    monkeypatch.setitem(sys.modules, "ifog._engine", None)  # importing it raises ImportError
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.mark.usefixtures("no_engine")
def test_asking_for_a_missing_engine_warns_once_and_says_what_is_lost():
    with pytest.warns(EngineMissingWarning, match=r"without its C\+\+ engine.*speed is lost.*compiler") as caught:
        found = [engine() for _ in range(2)]
    assert found == [None, None]
    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.usefixtures("no_engine")
def test_asking_whether_there_is_an_engine_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not available()
