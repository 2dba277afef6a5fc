"""Join the commands, and turn every mistake a user can mend into one red paragraph and exit code 2.

Owns the list of commands and the exit codes: 0 done, 2 a mistake that can be mended, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import errno
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import ifog
from ifog.cli import (
    cells,
    compare,
    detect,
    doctor,
    errors,
    evaluate,
    gates,
    gpt2,
    gradients,
    inspect,
    make,
    ngram,
    pairs,
    plan,
    predict,
    reproduce,
    resume,
    sample,
    train,
    tune,
)
from ifog.cli.console import fail, say
from ifog.cli.waiting import patient
from ifog.errors import IfogError

__all__ = ["app"]


class Commands(TyperGroup):
    """A command group whose expected errors are read, not traced, and whose `train` has the options of its task."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that was asked for."""
        name, found, rest = super().resolve_command(ctx, args)
        made = {"train": train, "tune": tune}.get(name or "")
        return (name, made.command(rest), rest) if made else (name, found, rest)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except IfogError as error:
            fail(str(error))
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader has gone, as in `ifog sample RUN | head`
                raise
            where = f"{error.filename}: " if error.filename else ""
            fail(f"{where}{error.strerror or error}. Mend that and run the command again.")
        except KeyboardInterrupt:
            fail("Stopped.", code=130)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Recurrent networks that write: train one on any text, then look, judge and sample.",
    epilog="Begin with: ifog train FILE --budget 90s, then ifog sample runs/NAME.",
)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"ifog {ifog.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


@app.command("train")
def _train() -> None:
    """Train on files: a language model on text, or with --task a classifier, tagger, translator, forecaster."""


@app.command("tune")
def _tune() -> None:
    """Search hyperparameters: many runs, bad ones stopped early, the best one told."""


app.command("resume")(resume.resume)
app.command("eval")(patient(evaluate.evaluate))
app.command("predict")(patient(predict.predict))
app.command("sample")(sample.sample)
app.command("inspect")(patient(inspect.inspect))
app.command("detect")(patient(detect.detect))
app.command("gates")(patient(gates.gates))
app.command("gradients")(patient(gradients.gradients))
app.command("errors")(patient(errors.errors))
app.command("doctor")(patient(doctor.doctor))
app.command("make")(make.make)
app.command("make-pairs")(pairs.make_pairs)
app.command("eval-gpt2")(gpt2.evaluate_gpt2)
app.command("compare")(compare.compare)
app.command("cells")(cells.cells)
app.command("ngram")(ngram.ngram)
app.command("reproduce")(reproduce.reproduce)
app.command("table")(reproduce.table)
app.command("plan")(plan.plan)
