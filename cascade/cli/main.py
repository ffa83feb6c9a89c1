"""The ``cascade`` command: its verbs, and how errors and signals end it.

The bodies of the verbs import what they need, so that ``cascade --help`` stays fast.
"""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from ..core.errors import CascadeError, CrashError
from .bench import bench
from .clean import clean
from .config import show_config
from .data import data
from .demo import demo
from .doctor.command import doctor
from .evaluate import evaluate
from .experiments.ab import ab
from .experiments.canary import canary
from .experiments.compare import compare
from .experiments.events import events
from .experiments.shadow import shadow
from .experiments.stop import stop
from .features import features
from .index import index
from .logging import is_verbose
from .options import with_config
from .recommend import recommend
from .release import release
from .run import plan, run
from .serve import reload, serve
from .show import show
from .size import size
from .tune import tune

WRONG_INPUT = 2
INTERNAL_ERROR = 1
CRASH = 70
TERMINATED = 128 + signal.SIGTERM
"""Exit codes. 70 is EX_SOFTWARE of <sysexits.h>: a supervisor such as systemd starts the command again."""

app = typer.Typer(
    name="cascade",
    help="Train a multi-stage recommender from raw interactions and serve it with Triton Inference Server.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    add_completion=False,
)


def print_version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


app.command(epilog="Example: cascade demo --set data.source=synthetic --config shop.yaml")(demo)
app.command(epilog="Example: cascade doctor --json")(doctor)
app.command("config", epilog="Example: cascade config --set serving.ann.topk=300")(show_config)
app.command(epilog="Example: cascade plan --set two_tower.loss=bpr")(plan)
app.command(epilog="Example: cascade run --only ranker --set dlrm_ranker.training.epochs=10")(run)
app.command(epilog="Example: cascade tune --set 'tune.two_tower.loss=[bpr, softmax]' --trials 10 --workers 2")(tune)
app.command(epilog="Example: cascade evaluate --json")(evaluate)
app.command(epilog="Example: cascade show ranker")(show)
app.command(epilog="Example: cascade clean --remove")(clean)
app.add_typer(data, name="data")
app.add_typer(features, name="features")
app.command(epilog="Example: cascade serve --http-port 9000 --grpc-port 9001 --metrics-port 9002")(serve)
app.command(epilog="Example: cascade reload -c shop.yaml")(reload)
release.command(epilog="Example: cascade release canary 3414 --ramp 1,5,25,50,100 --every 10m")(canary)
release.command(epilog="Example: cascade release shadow 3414 --share 10")(shadow)
release.command(epilog="Example: cascade release compare --json")(compare)
release.command(epilog="Example: cascade release stop --reason 'the campaign is over'")(stop)
app.add_typer(release, name="release")
app.add_typer(ab, name="ab")
app.add_typer(events, name="events")
app.add_typer(index, name="index")
app.command(epilog="Example: cascade recommend --user 42 --top-k 10 --context hour=20 --json")(recommend)
app.command(epilog="Example: cascade bench --concurrency 16 --no-rate --soak 300")(bench)
app.command(epilog="Example: cascade size --price-per-hour 1.20 --qps 3000 --table item_id=10000000x64")(size)


def main() -> None:
    """Run the command line. An error is printed as one line on stderr, or as one line each if there are several."""
    terminated = False

    def terminate(number: int, frame: object) -> None:
        nonlocal terminated
        terminated = True
        sys.exit(TERMINATED)  # unwinds: servers stop, folders go

    signal.signal(signal.SIGTERM, terminate)
    try:
        app()
    except CrashError as error:
        _fail(error, str(error), CRASH)
    except CascadeError as error:
        _fail(error, str(error), WRONG_INPUT)
    except Exception as error:
        if terminated:  # a library that was being imported has made another error of it
            sys.exit(TERMINATED)
        _fail(error, f"{type(error).__name__}: {error} (--verbose says where)", INTERNAL_ERROR)
    except BaseException:
        if terminated:  # pydantic's core makes a panic of it
            sys.exit(TERMINATED)
        raise


def _fail(error: Exception, message: str, code: int) -> None:
    """Print ``message`` and exit with ``code``; with ``--verbose`` print the traceback first."""
    if is_verbose():
        import traceback

        traceback.print_exception(error)
    for line in with_config(message).splitlines():
        typer.echo(f"error: {line}", err=True)
    sys.exit(code)
