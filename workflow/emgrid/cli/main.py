"""The command line: what a grid will cost and can show, why it would run, how far it is, and what
it keeps that nothing needs."""

import argparse

from emgrid.cli import gc, labels_command, plan, power, status, why
from emgrid.runtime.errors import run_job


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    found = argparse.ArgumentParser(prog="emgrid", description=__doc__)
    commands = found.add_subparsers(dest="command", required=True)
    for command in (plan, why, status, power, labels_command, gc):
        command.add(commands)
    return found


def main() -> None:
    args = parser().parse_args()
    args.run(args)


def run() -> None:
    run_job(main)


if __name__ == "__main__":
    run()
