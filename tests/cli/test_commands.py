"""What each command prints and leaves, when all goes well."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ifog as package
from ifog.cli.application import app
from ifog.kernels import available
from ifog.runs import RunDirectory
from ifog.tasks.language_options import LanguageOptions
from ifog.tasks.options import DEFAULT_BUDGET

TINY = ["--hidden-size", "8", "--embedding-size", "4", "--batch-size", "4", "--sequence", "10"]
COMMANDS = ["train", "resume", "eval", "predict", "sample", "compare", "cells"]


def test_help_lists_every_command(ifog) -> None:
    listed = ifog("--help").output
    assert [name for name in COMMANDS if name in listed] == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(ifog, command: str) -> None:
    assert "Usage" in ifog(command, "--help").output


def test_the_version_is_the_packages(ifog) -> None:
    assert ifog("--version").output == f"ifog {package.__version__}\n"


def test_help_needs_no_torch() -> None:
    code = "import sys; from ifog.cli.application import app; sys.exit({'torch', 'numpy'} & {*sys.modules} != set())"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_train_help_shows_the_defaults_that_hold(ifog) -> None:
    shown = " ".join(ifog("train", "--help").output.replace("│", " ").split())
    assert f"[default: {LanguageOptions.learning_rate}]" in shown
    assert f"[default: {DEFAULT_BUDGET}]" in shown


@pytest.mark.parametrize("task", ["language", "classify", "tag", "translate", "forecast"])
def test_every_option_of_a_task_is_on_the_command_line_with_its_meaning(task: str) -> None:
    import dataclasses

    from ifog.cli.train import command
    from ifog.tasks.kinds import find

    made = command(["--task", task])
    named = {
        p.name: p for p in made.params if p.name not in {"files", "task", "out", "validation", "gradients", "help"}
    }
    options = LanguageOptions if task == "language" else find(task).options
    fields = {field.name for field in dataclasses.fields(options)}
    assert {name.replace("_option", "_options") for name in named} == fields
    undocumented = [name for name, p in named.items() if len(p.help.partition(" [dim]")[0]) < 8]  # type: ignore[attr-defined]
    assert undocumented == []


def test_train_takes_its_options_from_the_task(ifog, tmp_path: Path) -> None:
    assert "--pooling" in ifog("train", "--task", "classify", "--help").output
    assert "--pooling" not in ifog("train", "--help").output
    assert "there is no task 'clasify'" in ifog("train", "--task=clasify", code=2).stderr


def test_a_classifier_from_a_file_to_predictions(ifog, tmp_path: Path) -> None:
    words = ["good", "bad"]
    rows = "".join(f"{'a ' * (i % 5 + 1)}{words[i % 2]} film,{words[i % 2]}\n" for i in range(60))
    (tmp_path / "films.csv").write_text(f"text,label\n{rows}")
    out = tmp_path / "run"
    shown = ifog(
        "train", tmp_path / "films.csv", "--out", out, "--steps", 30, "--hidden-size", 8, "--learning-rate", 0.02
    ).output
    assert "made for the task classify" in shown
    assert "accuracy 100.00%" in shown
    assert f"ifog predict {out} FILE" in shown
    assert "accuracy" in ifog("eval", out, tmp_path / "films.csv").output
    assert re.search(r"bad \([01]\.\d\d\): a bad film", ifog("predict", out, "--text", "a bad film").output)
    assert "good 0." in ifog("predict", out, "--text", "a bad film", "--probabilities").output
    for command in ("sample", "doctor"):
        assert "learned the task classify" in ifog(command, out, code=2).stderr
    assert "The run is complete" in ifog("resume", out).output
    assert "and 40 more" in ifog("predict", out, out, tmp_path / "films.csv").output
    ifog("predict", out, tmp_path / "films.csv", "--out", tmp_path / "said.tsv")
    assert (tmp_path / "said.tsv").read_text().startswith("text\tlabel\tpredicted\tprobability\n")
    assert "accuracy" in ifog("compare", out, out, "--figure", tmp_path / "c.png").output
    assert "is no run" in ifog("predict", tmp_path / "films.csv", code=2).stderr
    assert "--text" in ifog("predict", out, code=2).stderr


def test_training_prints_figures_and_the_next_commands_and_leaves_a_run(ifog, text: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shown = ifog("train", text, "--out", out, "--steps", 10, *TINY).output
    assert "bits/character" in shown
    assert "the best so far" in shown
    assert f"ifog sample {out}" in shown
    assert "\x1b[" not in shown  # plain lines where there is no terminal
    run = RunDirectory.open(out)
    assert run.has_checkpoint("best")
    assert run.read_json("result.json")["step"] == 10
    assert {r["kind"] for r in run.read_metrics()} == {"train", "evaluation", "sample"}


def test_options_reach_the_run(ifog, text: Path, tmp_path: Path) -> None:
    ifog(
        "train", text, "--out", tmp_path / "run", "--steps", 1, *TINY, "--cell", "gru", "--tokenizer", "byte",
        "--learning-rate", 0.001, "--average", 0.9, "--validation-fraction", 0.25, "--num-layers", 2,
    )  # fmt: skip
    config = RunDirectory.open(tmp_path / "run").config
    assert config["model"] == {
        "kind": "recurrent", "vocabulary_size": 256, "cell": "gru", "hidden_size": 8, "num_layers": 2,
        "embedding_size": 4, "dropout": 0.0, "tied": False, "options": {},
    }  # fmt: skip
    assert config["options"]["average"] == 0.9
    assert config["options"]["learning_rate"] == 0.001
    assert config["text"]["validation"] == pytest.approx(config["text"]["train"] / 3, rel=0.01)


def test_runs_get_a_new_name_each_and_never_overwrite(ifog, text: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        ifog("train", text, "--steps", 1, *TINY)
    assert sorted(p.name for p in Path("runs").iterdir()) == ["bottles", "bottles-2"]


def test_standard_input_is_a_text_too(ifog, tmp_path: Path) -> None:
    ifog("train", "-", "--out", tmp_path / "run", "--steps", 1, *TINY, stdin="to be or not to be, " * 100)
    assert "standard input" in RunDirectory.open(tmp_path / "run").config["source"]


def test_training_on_examples_counts_examples_and_says_what_fits_them(ifog, tmp_path: Path) -> None:
    films = tmp_path / "films.csv"
    films.write_text("text,label\n" + "a joy,good\na bore,bad\n" * 8)
    small = ["--steps", "3", "--hidden-size", "4", "--embedding-size", "4", "--batch-size", "4"]
    out = tmp_path / "run"
    for said in (ifog("train", films, "--out", out, *small).output, ifog("resume", out).output):
        assert "All validation examples" in said
        assert f"ifog predict {out}" in said
        assert "ifog sample" not in said


def test_a_finished_run_resumes_to_the_same_result(ifog, trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "moved"  # a run can be moved
    shutil.copytree(trained, copy)
    assert "Done after 20 steps" in ifog("resume", copy).output
    kept = RunDirectory.open(trained).read_json("result.json")
    assert RunDirectory.open(copy).read_json("result.json")["loss"] == kept["loss"]


def test_eval_prints_the_result_of_training(ifog, trained: Path) -> None:
    result = json.loads((trained / "result.json").read_text())
    shown = ifog("eval", trained).output
    assert f"{result['loss']:.4f} nats" in shown
    assert f"{result['bits_per_character']:.4f} bits/character" in shown
    assert f"perplexity {result['perplexity']:.5g}" in shown
    assert f"accuracy {result['accuracy']:.2%}" in shown


def test_eval_judges_other_texts(ifog, trained: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("green walls, green bottles")
    assert ifog("eval", trained, other).output != ifog("eval", trained).output
    assert ifog("eval", trained, "-", stdin="green walls, green bottles").output == ifog("eval", trained, other).output


def test_sample_starts_with_the_prime_and_repeats_with_a_seed(ifog, trained: Path) -> None:
    first = ifog("sample", trained, "--prime", "10 green", "--length", 30, "--seed", 5).stdout
    assert first.startswith("10 green")
    assert len(first) == len("10 green") + 30 + 1
    assert first == ifog("sample", trained, "--prime", "10 green", "--length", 30, "--seed", 5).stdout
    assert first == ifog("sample", trained, "--prime", "10 green", "--length", 30, "--seed", 5, "--no-stream").stdout
    assert first != ifog("sample", trained, "--prime", "10 green", "--length", 30, "--seed", 6).stdout


def test_greedy_and_top_k_of_one_agree(ifog, trained: Path) -> None:
    greedy = ifog("sample", trained, "--greedy", "--length", 20).stdout
    assert greedy == ifog("sample", trained, "--top-k", 1, "--length", 20).stdout
    assert greedy == ifog("sample", trained, "--top-p", 1e-9, "--length", 20).stdout
    assert greedy == ifog("sample", trained, "--temperature", 1e-9, "--length", 20).stdout


def test_compare_ranks_runs_and_draws_their_curves(
    ifog, trained: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, "long")
    ifog("train", text, "--out", "short", "--steps", 1, *TINY)
    shown = ifog("compare", "short", "long", "--figure", "curves.png").output
    assert Path("curves.png").read_bytes().startswith(b"\x89PNG")
    assert [line.split()[0] for line in shown.splitlines() if "lstm" in line] == ["long", "short"]


def test_cells_lists_the_catalogue(ifog) -> None:
    from ifog.cells import CATALOGUE

    shown = ifog("cells").output
    assert [name for name in CATALOGUE if name not in shown] == []


def test_a_cell_is_shown_from_its_equations_to_its_cost(ifog) -> None:
    shown = ifog("cells", "lstm", "--size", 256).output
    backend = "cpu" if available() else "aten"
    for part in ("tanh(c)", "W_hf", "Stages", "floating-point operations", f"Backend: {backend}"):
        assert part in shown
    assert f"{4 * 256 * (128 + 256 + 1):,}" in shown  # 4 n (m + n + 1)
    assert r"\tanh" in ifog("cells", "lstm", "--latex").output


def test_ctrl_c_saves_and_names_the_command_that_goes_on(text: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "ifog.cli", "train", str(text), "--out", str(out), "--budget", "1h", *TINY]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    metrics = out / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not metrics.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert f"ifog resume {out}" in printed
    assert RunDirectory.open(out).has_checkpoint()


def test_a_reader_that_goes_away_is_no_error(trained: Path) -> None:
    command = f"{sys.executable} -m ifog.cli sample {trained} --length 2000 | head -c 5"
    done = subprocess.run(command, shell=True, check=False, capture_output=True, text=True)
    assert len(done.stdout) == 5
    assert "Traceback" not in done.stderr


def test_the_application_is_what_main_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from ifog.cli import main

    monkeypatch.setattr(sys, "argv", ["ifog", "--version"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "ifog" in capsys.readouterr().out
    assert callable(app)
