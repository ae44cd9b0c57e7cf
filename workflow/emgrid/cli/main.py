"""Plan, explain, monitor and clean up grids: what a grid costs and can show, why jobs would run,
how far it is, and which files nothing needs."""

import argparse

from emgrid.cli import bridge, gc, labels, plan, power, rounds, status, why
from emgrid.runtime.job import run_job


def parser() -> argparse.ArgumentParser:
    """The parser with all commands and their options."""
    root = argparse.ArgumentParser(prog="emgrid", description=__doc__)
    commands = root.add_subparsers(dest="command", required=True)
    for command in (plan, why, rounds, status, power, labels, bridge, gc):
        command.add(commands)
    return root


def main() -> None:
    args = parser().parse_args()
    args.run(args)


def run() -> None:
    run_job(main)


if __name__ == "__main__":
    run()
